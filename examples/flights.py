"""Will this flight arrive more than 15 minutes late? The loop: what is learned, proved, released and learned again.

lw run examples/flights.py     (the table comes from loopwright.demo.flights: the flights of 2013 from New York)
"""

from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

import loopwright as lw

flights = lw.Table(
    "flights",
    key="flight_id",
    time="scheduled_departure",
    label="late",
    never=["dep_time", "dep_delay", "arr_time", "air_time"],  # known only once the plane has left
)


def train(data: lw.TrainingData, learning_rate: float = 0.05, num_leaves: int = 31) -> Pipeline:
    """What is rare or new shares one column; numbers go in as they are, missing ones too."""
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50), data.categorical),
        (lw.Calendar("hour", "weekday"), data.timestamps),
        remainder="passthrough",
    )
    trees = LGBMClassifier(
        n_estimators=60,
        learning_rate=learning_rate,
        num_leaves=num_leaves,
        random_state=data.seed,
        n_jobs=1,  # on a machine that does other things besides, a second thread gains nothing here
        verbose=-1,
    )
    return make_pipeline(encode, trees).fit(data.X, data.y)


loop = lw.Loop(
    name="late-arrivals",
    table=flights,
    train=train,
    search=lw.Search(trials=6, learning_rate=(0.05, 0.2), num_leaves=[15, 31, 63]),
    split=lw.Split(holdout=0.1),
    judge=lw.Judge(
        "roc_auc",
        slices=["carrier", "origin", ("origin", "hour")],
        gates=[
            lw.at_least("roc_auc", 0.6),
            lw.not_worse("roc_auc", by=0.02),
            lw.slice_gap("roc_auc", "carrier", at_most=0.4),
        ],
    ),
    release=lw.Canary(shadow="2d", shares=[0.25, 1.0], hold="2d", watch="2d", patience="21d"),
    monitor=lw.Monitor(window="7d", labels_within="2d"),
    # Not on_drift: there is weather, so the inputs always drift. A month's labels: fewer teach next to nothing.
    retrain=lw.Retrain([lw.on_decay("roc_auc", by=0.05), lw.on_new_data("60d")], cool_down="45d", least_labels=25_000),
)
