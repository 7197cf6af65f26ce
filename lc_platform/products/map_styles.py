"""Styles of a map's classes for other programs: QGIS's QML, and OGC's SLD 1.0."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from lc_platform.cube import Legend


def qml(classes: Legend) -> str:
    """Return the style by which QGIS shows band 1 of a map: it is taken of itself where it lies
    beside the map under the same name. Class 0, no data, is not drawn."""
    entries = "\n".join(
        f'        <paletteEntry value="{value}" label={quoteattr(name)} color={quoteattr(color)} '
        'alpha="255"/>'
        for value, (name, color) in classes.items()
    )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.22.0" styleCategories="Symbology">\n'
        "  <pipe>\n"
        '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">\n'
        "      <rasterTransparency/>\n"
        f"      <colorPalette>\n{entries}\n      </colorPalette>\n"
        "    </rasterrenderer>\n"
        "  </pipe>\n"
        "  <blendMode>0</blendMode>\n"
        "</qgis>\n"
    )


def sld(classes: Legend) -> str:
    """Return the style as OGC has it, which GeoServer, MapServer and QGIS read. Class 0, no data,
    is not drawn."""
    entries = "\n".join(
        f'              <ColorMapEntry color={quoteattr(color)} quantity="{value}" '
        f'label={quoteattr(name)} opacity="1"/>'
        for value, (name, color) in classes.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<StyledLayerDescriptor version="1.0.0" xmlns="http://www.opengis.net/sld" '
        'xmlns:ogc="http://www.opengis.net/ogc" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
        "  <NamedLayer>\n    <Name>land_cover</Name>\n    <UserStyle>\n"
        "      <Title>Land cover</Title>\n      <FeatureTypeStyle>\n        <Rule>\n"
        "          <RasterSymbolizer>\n            <Opacity>1</Opacity>\n"
        '            <ColorMap type="values">\n'
        '              <ColorMapEntry color="#000000" quantity="0" label="no data" opacity="0"/>\n'
        f"{entries}\n"
        "            </ColorMap>\n          </RasterSymbolizer>\n"
        "        </Rule>\n      </FeatureTypeStyle>\n    </UserStyle>\n"
        "  </NamedLayer>\n</StyledLayerDescriptor>\n"
    )
