"""The demo weights that ship with the package: a small DETR trained on drawn shapes."""
