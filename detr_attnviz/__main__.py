"""`python -m detr_attnviz`: the command."""

from detr_attnviz.cli.app import main

if __name__ == "__main__":
    main()
