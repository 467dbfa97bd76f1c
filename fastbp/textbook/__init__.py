"""The networks of a textbook, on the kernels: those of Nielsen's "Neural Networks and Deep Learning".

Scripts written for the book need a new import and nothing else::

    from fastbp import textbook as network      # was: import network, of chapters 1 and 2
    from fastbp.textbook import network2        # was: import network2, of chapter 3

Samples are columns here, as in the book; everywhere else in this package they are rows.

References
----------
M. A. Nielsen (2015), "Neural Networks and Deep Learning", Determination Press, http://neuralnetworksanddeeplearning.com
"""

from fastbp.textbook.columns import sigmoid as sigmoid
from fastbp.textbook.columns import sigmoid_prime as sigmoid_prime
from fastbp.textbook.network import Network as Network
