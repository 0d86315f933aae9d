"""Names by which configs refer to networks and losses (`type='...'`)."""

from mmengine.registry import Registry

MODELS = Registry("model")
LOSSES = Registry("loss")
