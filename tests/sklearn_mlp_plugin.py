"""pytest plugin: scikit-learn's own tests of its networks are collected with our estimators under its names.

``pytest -p sklearn_mlp_plugin --pyargs sklearn.neural_network.tests.test_mlp``
"""

import sklearn.neural_network

import fastbp


def pytest_configure(config):
    sklearn.neural_network.MLPClassifier = fastbp.MLPClassifier
    sklearn.neural_network.MLPRegressor = fastbp.MLPRegressor
