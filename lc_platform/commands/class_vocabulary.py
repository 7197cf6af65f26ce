"""Words of land cover in the names of classes: those of no label, and those of usual colours.

They are of English, German, Dutch, French, Italian, Portuguese, Spanish, Polish and Slovene, and
some are Russian. Capital letters and accents do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from lc_platform.config.reference import plain_text

_NO_LABEL = (
    r"(no|not)[ _-]?(data|label|class\w*|information|value)|nodata|unknown|unclassified|undefined|"
    r"n/?a|none|null",
    r"k\. ?a\.|(keine|ohne) (angaben?|daten|klasse|information(en)?)|unbekannt|"
    r"nicht (klassifiziert|bestimmt|definiert|zugeordnet)",
    r"geen (gegevens?|data|klasse|informatie)|onbekend|"
    r"niet (geclassificeerd|gekarteerd|bekend|bepaald|van toepassing)|n\.?v\.?t\.",
    r"sans (objet|donnees?|information|classe)|pas de donnees?|aucune donnee|inconnue?s?|"
    r"non (classee?s?|definie?s?|renseignee?s?|determinee?s?|disponible|applicable)",
    r"nessun (dato|valore)|senza (dati|classe|informazioni?)|sconosciut[oaei]|"
    r"non (classificat[oaei]|definit[oaei]|determinat[oaei]|disponibile|applicabile)",
    r"sem (informacao|dados?|classe|classificacao|valor)|desconhecid[oa]s?|indefinid[oa]s?|"
    r"nao (classificad[oa]s?|definid[oa]s?|determinad[oa]s?|disponivel|aplicavel)",
    r"sin (informacion|datos?|clase|clasificar|clasificacion|definir|valor)|desconocid[oa]s?|"
    r"no (clasificad[oa]s?|definid[oa]s?|determinad[oa]s?|disponible|aplica(ble)?)",
    r"brak (danych|informacji|klasy)|nieznan[yae]|nie ?(sklasyfikowan|okreslon)[yaeo]|nie dotyczy",
    r"ni podatk(a|ov)|neznan[oai]|nerazvrsceno",
    r"нет данных|неизвестно",
)
_USUAL = {
    "#0072b2": (
        r"water|wasser|gewass|\beaux?\b|\bacqu[ae]\b|\bcorpi idrici|\baguas?\b|\balbufeiras?\b|"
        r"\bembalses?\b|\bwod[aey]\b|vod[aen]|вод[аоны]"
    ),
    "#117733": (
        r"forest|wood|\btree|wald|forst|foret|\bbosc(o|hi)\b|\bflorest|\bsilvicult|bosque|gozd|"
        r"\b(loof|naald)?bos(sen)?\b|\blasy\b|^las( (lisciast|iglast|mieszan)y)?$|\bлес"  # noqa: RUF001
    ),
    "#8fd19e": (
        r"grass|\bgras|meadow|pastur|wiese|weide|weiland|grunland|travnik|pasnik|prairie|\bpatur|"
        r"\bpelouses?\b|\bprat[io]\b|pascol|\bprados?\b|pastage|pastiz|\bpastos?\b|\blak[ai]\b|"
        r"pastwisk|\btraw(y|iast)|луг|трав"
    ),
    "#e69f00": (
        r"crop|arable|field|acker|feld|njiv|akker|bouwland|landbouw|(?<!silv)icultur|"
        r"\bcultur(as?|es?)\b|\bcultivo|\bculture?s?\b|agricol|seminativ|\bcolt(ur|iv)|"
        r"\blabrad|\bgrunty orne\b|\bupraw|\brolnicz|пашн|поля"
    ),
    "#d55e00": (
        r"built|urban|settle|\bstreet|artific|siedlung|strasse|gebaude|bebau|bebouw|stedelijk|"
        r"pozid|urbain|\bbati(e?s?|ments?)\b|\bedific|\bconstru[ic]|insediament|zabudow|miejsk|"
        r"застр"
    ),
    "#ddcc77": (
        r"\bbare|\bbarren|rock|sand|fels|kahl|\bkaal\b|\bkale (grond|bodem)\b|\brots|\bzand|"
        r"\bsols? nus?\b|\broch(e|es|as?)\b|\brocheux|\bsables?\b|\bsuol[oi] nud|\brocc(ia|e)\b|"
        r"\bsabbi[ae]\b|\bdescobert|\bsolos? (nus?|expostos?)\b|\bareia[ls]?\b|\bdesnud|"
        r"\broquedo|\brocas?\b|\barenales\b|\bodkryt|\bpiask|\bgol[ae]|\bskal"
    ),
}
"""What maps usually show in a colour. People of any colour vision tell these six apart."""
_NONE = re.compile("|".join(_NO_LABEL))
_COLORS = {color: re.compile(words) for color, words in _USUAL.items()}


def means_no_label(name: str) -> bool:
    """Return whether all of a name says that there is no label."""
    return _NONE.fullmatch(_folded(name)) is not None


def usual_colors(names: Sequence[str]) -> list[str | None]:
    """Return the colour that maps usually show each class in; None where a name says nothing, or
    another class has that colour already."""
    found: list[str | None] = []
    for name in names:
        places = {
            color: told.start()
            for color, words in _COLORS.items()
            if color not in found and (told := words.search(_folded(name)))
        }
        found.append(min(places, key=places.__getitem__, default=None))
    return found


def _folded(name: str) -> str:
    """Return a name in small letters without accents."""
    apart = unicodedata.normalize("NFKD", plain_text(name).casefold())
    return "".join(c for c in apart if not unicodedata.combining(c)).replace("ł", "l")
