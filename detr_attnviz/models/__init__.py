"""The native DETR: its architecture, and how a checkpoint becomes one."""
