"""What names of classes in several languages mean."""

from __future__ import annotations

import pytest

from lc_platform.commands.class_vocabulary import means_no_label, usual_colors

WATER, FOREST, GRASS, CROPS, BUILT, BARE = range(6)
ENGLISH = usual_colors(["water", "forest", "grassland", "cropland", "settlements", "bare ground"])
NAMES = {
    "Portuguese": (
        ["Massas de água superficiais", "Florestas", "Pastagens", "Agricultura",
         "Territórios artificializados", "Espaços descobertos ou com pouca vegetação"],
        ["ÁGUA", "Floresta", "Prados", "Culturas anuais", "Áreas edificadas", "Rocha nua"],
    ),
    "Spanish": (
        ["Láminas de agua", "Bosques", "Pastizales", "Cultivos", "Zonas urbanas", "Suelo desnudo"],
    ),
    "French": (
        ["Surfaces en eau", "Forêts", "Prairies", "Cultures", "Bâti", "Sols nus"],
    ),
    "Italian": (
        ["Corpi idrici", "Boschi", "Prati", "Seminativi", "Aree urbane", "Suolo nudo"],
        ["Acque", "Foreste", "Pascoli", "Aree agricole", "Edificato", "Rocce nude"],
    ),
    "Dutch": (
        ["Water", "Naaldbos", "Grasland", "Akkerland", "Bebouwing", "Kale grond"],
    ),
    "Polish": (
        ["Wody", "Lasy", "Łąki", "Grunty orne", "Zabudowa", "Gleba odkryta"],
    ),
    "German": (
        ["Gewässer", "Wald", "Grünland", "Acker", "Siedlung", "Fels"],
    ),
}  # fmt: skip


def test_the_six_usual_colours_differ() -> None:
    assert None not in ENGLISH
    assert len(set(ENGLISH)) == 6


@pytest.mark.parametrize(
    "names", [pytest.param(one, id=f"{name} {i}") for name in NAMES for i, one in
              enumerate(NAMES[name])],
)  # fmt: skip
def test_the_same_classes_have_the_same_colours_in_every_language(names: list[str]) -> None:
    assert usual_colors(names) == ENGLISH
    assert usual_colors([name.upper() for name in names]) == ENGLISH


@pytest.mark.parametrize(
    "name",
    ["Aguacates", "Paraguay", "Tableau", "Cultural sites", "Las dehesas", "Povoamentos", "Kale",
     "ambos", "Matos", "Montado", "Wetland", "Pratica"],
)  # fmt: skip
def test_a_word_that_only_looks_like_another_has_no_usual_colour(name: str) -> None:
    assert usual_colors([name]) == [None]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Streets", BUILT), ("Silvicultura", FOREST), ("Horticulture", CROPS), ("Las", FOREST)],
)
def test_a_word_within_another_does_not_mislead(name: str, kind: int) -> None:
    assert usual_colors([name]) == [ENGLISH[kind]]


@pytest.mark.parametrize(
    "name",
    ["no data", "Unknown", "k.A.", "keine Angabe", "Sem informação", "SEM DADOS",
     "Não classificado",
     "Sin datos", "Desconocido", "Sin información", "Sans objet", "Non classé", "Inconnu",
     "Nessun dato", "Non classificato", "Sconosciuto", "Geen gegevens", "Onbekend", "Brak danych",
     "Nieznany", "Nieokreślone", "ni podatka", "нет данных"],
)  # fmt: skip
def test_values_of_no_label_are_known_in_every_language(name: str) -> None:
    assert means_no_label(name)


@pytest.mark.parametrize(
    "name", ["Brak", "Sem", "Unknown forest", "no", "Sin", "Água", "Nonpareil", "Sans Souci", ""]
)
def test_a_class_is_no_missing_label(name: str) -> None:
    assert not means_no_label(name)
