"""A classifier for each region, trained on the samples that lie in it or near its border."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.eo import classification_methods
from lc_platform.eo.classifier import ProbabilityModel
from lc_platform.eo.regional import Regional
from lc_platform.errors import DataError
from lc_platform.products.classifier_training import fitted
from lc_platform.products.ground_folds import Blocks, patch_block
from lc_platform.products.options import TrainingOptions
from lc_platform.products.region_options import KEY
from lc_platform.products.regions import Regions, of_all, regions_of
from lc_platform.products.training_samples import Samples

Kept = Mapping[str, NDArray[np.bool_]]
"""By patch, (sample,): which of the samples that are for training."""


@dataclass(frozen=True, eq=False)
class RegionalTraining:
    """The regions of a map, and the say that each has at every sample."""

    regions: Regions
    patches: Mapping[str, int]
    """On how many patches of the area each region lies."""
    weights: Mapping[str, NDArray[np.float32]]
    """By patch, (sample, region), 0 to 1, 1 together."""
    year: int

    @classmethod
    def of(
        cls,
        samples: Mapping[str, Samples],
        options: TrainingOptions,
        grids: Mapping[str, GeoBox],
        year: int,
    ) -> RegionalTraining | None:
        """Return the regions of the options; None where one classifier is of all.

        Raises DataError where their file cannot be used, see `regions.regions_of`.
        """
        if options.regions is None:
            return None
        regions, patches = regions_of(options.regions, list(grids.values()))
        return cls(regions, patches, of_all(regions, samples, grids), year)

    def kept(self, region: int, samples: Mapping[str, Samples]) -> dict[str, NDArray[np.bool_]]:
        """Return by patch, (sample,), which of the samples that are for training count for a
        region: those at which it has a say."""
        return {
            patch: self.weights[patch][: one.for_training, region] > 0
            for patch, one in samples.items()
        }

    def check(self, samples: Mapping[str, Samples], classes: Mapping[int, str]) -> None:
        """Raises DataError where a region has no sample to train on, or of one class only."""
        for number, name in enumerate(self.regions.names):
            labels = self._labels(samples, self.kept(number, samples))
            found = np.unique(labels)
            if len(found) > 1:
                continue
            what = (
                "none of the samples that a classifier is trained on lies in it, or within "
                f"{self.regions.blend:g} m of it"
                if not len(found)
                else f"all {len(labels)} samples of it are of one class ({classes[int(found[0])]})"
            )
            raise DataError(
                f"{KEY}: region {name}, {self.year}: {what}, and its model needs two classes at "
                f"least. It lies on {self.patches[name]} patches. Extend the reference into it, "
                "give its polygons the name of a neighbour, whose model is then its own too, or "
                "leave it out of the file: ground beyond all regions is of the nearest"
            )

    def fitted(
        self,
        samples: Mapping[str, Samples],
        options: TrainingOptions,
        *,
        class_ids: Sequence[int],
        kept: Kept | None = None,
        without: NDArray[np.uint32] | None = None,
        blocks: Mapping[str, Blocks] | None = None,
    ) -> Regional:
        """Train a classifier for each region; see `classifier_training.fitted`.

        kept  those of a fold: a region that has too few of them (`unlearnt`) is told apart by a
              classifier of all of them; all samples where None
        """
        members: list[ProbabilityModel] = []
        everywhere: ProbabilityModel | None = None
        for number, name in enumerate(self.regions.names):
            own = self.kept(number, samples)
            ids = np.unique(self._labels(samples, own))
            if kept is not None:
                own = {patch: here & kept[patch] for patch, here in own.items()}
                if self._too_few(samples, options, own, without, blocks):
                    everywhere = everywhere or fitted(
                        samples, options, class_ids=class_ids, kept=kept, without=without,
                        blocks=blocks,
                    )  # fmt: skip
                    members.append(everywhere)
                    continue
            elif self._too_few(samples, options, own, without, blocks):
                raise DataError(
                    f"{KEY}: region {name}, {self.year}: its model needs samples of two classes, "
                    "after validation.wrong_labels has left some out, and with "
                    "model.early_stopping_round two blocks of ground. Extend the reference into "
                    "it, or give its polygons the name of a neighbour"
                )
            members.append(
                fitted(
                    samples,
                    options,
                    class_ids=tuple(ids.tolist()),
                    kept=own,
                    without=without,
                    blocks=blocks,
                )
            )
        return Regional(self.regions.names, tuple(members), tuple(class_ids))

    def unlearnt(
        self,
        samples: Mapping[str, Samples],
        options: TrainingOptions,
        kept: Kept,
        blocks: Mapping[str, Blocks],
    ) -> list[str]:
        """Return the regions of which a fold has too few samples for a classifier of their own."""
        return [
            name
            for number, name in enumerate(self.regions.names)
            if self._too_few(
                samples,
                options,
                {p: here & kept[p] for p, here in self.kept(number, samples).items()},
                None,
                blocks,
            )
        ]

    def warnings(self, unlearnt: Sequence[Sequence[str]]) -> list[str]:
        """Return a sentence for each region that some folds cannot learn.

        unlearnt  (fold,), names of regions
        """
        said = []
        for name in self.regions.names:
            folds = [str(fold) for fold, names in enumerate(unlearnt) if name in names]
            if folds:
                said.append(
                    f"region {name}: outside of fold {', '.join(folds)} its samples are too few "
                    "for a classifier (two classes are needed, and two blocks of ground for "
                    "early stopping), so its ground there is tested by one of all regions, and its "
                    "accuracy is not that of its own model. Take smaller blocks "
                    "(validation.block_size), or extend the reference"
                )
        return said

    def card(
        self,
        samples: Mapping[str, Samples],
        classifier: Regional,
        classes: Mapping[int, str],
    ) -> list[dict[str, Any]]:
        """Return what a model's card says of each region: its samples and classes, and what of its
        parameters others have not."""
        told = []
        shared = classifier.parameters
        for number, (name, member) in enumerate(
            zip(self.regions.names, classifier.members, strict=True)
        ):
            own = self.kept(number, samples)
            ids, counts = np.unique(self._labels(samples, own), return_counts=True)
            beside = sum(
                int((here & (self.weights[p][: len(here), number] < 1)).sum())
                for p, here in own.items()
            )
            one: dict[str, Any] = {
                "name": name,
                "patches": self.patches[name],
                "samples": {
                    classes[i]: n for i, n in zip(ids.tolist(), counts.tolist(), strict=True)
                },
                "samples_shared_with_others": beside,
                "parameters": {
                    key: value
                    for key, value in member.parameters.items()
                    if key not in shared and key != "num_threads"
                },
            }
            stopping = classification_methods.early_stopping(member)
            if stopping is not None:
                one["early_stopping"] = stopping.to_dict()
            told.append(one)
        return told

    def _labels(self, samples: Mapping[str, Samples], kept: Kept) -> NDArray[np.uint8]:
        return np.concatenate([one.classes[: len(kept[p])][kept[p]] for p, one in samples.items()])

    def _too_few(
        self,
        samples: Mapping[str, Samples],
        options: TrainingOptions,
        kept: Kept,
        without: NDArray[np.uint32] | None,
        blocks: Mapping[str, Blocks] | None,
    ) -> bool:
        """Return whether samples are of one class, or in one block where two are needed."""
        labels, ground = [], []
        for patch, one in samples.items():
            here = kept[patch]
            if without is not None and len(without):
                here = here & ~np.isin(one.polygons[: len(here)], without)
            labels.append(one.classes[: len(here)][here])
            of = np.full(len(here), patch_block(patch)) if blocks is None else blocks[patch]
            ground.append(of[: len(here)][here])
        if len(np.unique(np.concatenate(labels))) < 2:
            return True
        return options.stops_early and len(np.unique(np.concatenate(ground))) < 2
