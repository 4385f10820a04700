"""One self-contained HTML file in which every map of a trace is computed when somebody asks for it."""
