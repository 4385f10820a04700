"""The classic figures of papers on DETR: a trace to a sheet for print, with its caption."""
