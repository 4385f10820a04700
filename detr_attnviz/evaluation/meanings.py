"""What every number of a report is, in words."""

from collections.abc import Mapping

from detr_attnviz.evaluation.bootstrap import FEWEST_PICTURES
from detr_attnviz.evaluation.disturbed import BLUR
from detr_attnviz.evaluation.settings import EvaluationSettings


def meanings(settings: EvaluationSettings) -> Mapping[str, str]:
    """A paragraph for everything that the tables and curves show."""
    shares = ", ".join(f"{100 * share:g}" for share in settings.shares)
    return {
        "map": "What ranks the cells of the picture: a method's map of the query, written METHOD[:HEAD][@LAYERS], or a "
        "control. random: noise. shuffled weights: raw attention of the same model with every parameter's values "
        "shuffled. Cells that a map holds equal stand in random order, the same for all maps.",
        "deletion, insertion": "The cells that a map ranks highest are removed from the picture, or alone left in it: "
        f"{shares} % of them. A map that knows what the query rests on lets the logit fall with the first cells that "
        "go, and rise with the first that stay.",
        "blurred, mean-filled": "What takes the place of a removed cell: the picture under a Gaussian whose standard "
        f"deviation is {BLUR:.0%} of the shorter side, or the picture's mean colour. What shows with one of them only "
        "may come from the filling.",
        "class logit": "The raw logit of the class that the query was detected as. In the table, the area under its "
        "mean curve (trapezoids over the share of cells) on a scale where 0 is the mean logit with every cell removed "
        "and 1 the mean undisturbed one; numbers below 0 and above 1 are possible.",
        "box": "The area under the mean curve of the IoU of the query's box with its own box in the undisturbed "
        "picture.",
        "mass in box": "The share of a map's positive mass that lies in the query's predicted box, each cell with the "
        "part of it that lies inside. The last row is chance. A map outside the box is not wrong for that: a model may "
        "rest on the surroundings.",
        "peak in box": "How often the middle of the map's highest cell lies in the box, or at most a cell away from "
        "it; of several highest cells the share that does.",
        "empty maps": "How many maps hold all cells equal: all zero, for methods that keep what is positive. Their "
        "order of cells is random.",
        "like shuffled model": "Spearman's rank correlation of a map with the one that the same method gives for the "
        "same query on the shuffled model (Adebayo et al. 2018, arXiv 1810.03292). Near 1, the map would look much the "
        "same whatever the model had learnt; near 0 or below, it depends on the weights. Empty maps are left out.",
        "heads": "One head's columns of the output projection are set to 0, on a copy: the change of the query's class "
        "logit, and of its box's IoU with its undisturbed box.",
        "±, marked": "Standard errors and 95 % intervals are the bootstrap's over pictures, with all their queries, "
        "and with the same drawn pictures for all maps: differences are paired. A method is marked like the best one "
        f"when the interval of their difference holds 0. With fewer than {FEWEST_PICTURES} pictures nothing is marked. "
        "Copies of a picture count once.",
    }
