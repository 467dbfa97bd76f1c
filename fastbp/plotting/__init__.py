"""Pictures of networks and of fits: axes in, axes out; matplotlib is imported when the first one is drawn."""

from fastbp.plotting._boundary import decision_boundary as decision_boundary
from fastbp.plotting._classes import calibration as calibration
from fastbp.plotting._classes import confusion as confusion
from fastbp.plotting._curves import gradient_flow as gradient_flow
from fastbp.plotting._curves import loss_curve as loss_curve
from fastbp.plotting._curves import save_loss_curve as save_loss_curve
from fastbp.plotting._diagram import network_diagram as network_diagram
from fastbp.plotting._layers import activations as activations
from fastbp.plotting._layers import weights as weights
from fastbp.plotting._roofline import roofline as roofline
