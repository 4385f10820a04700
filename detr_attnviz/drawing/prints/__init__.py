"""Figures for print: explanations to sheets of exact widths, as PNG, PDF and SVG."""
