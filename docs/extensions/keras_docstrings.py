"""An extension of Griffe: it reads docstrings as Keras writes them."""

import textwrap

import griffe


class KerasDocstrings(griffe.Extension):
    """Makes `Call arguments` and `Example` sections that Griffe knows."""

    def on_instance(self, *, obj, **kwargs):
        """Renames the sections; an example, which comes last, need not be indented."""
        if obj.docstring is None:
            return
        text = obj.docstring.value.replace(
            "\nCall arguments:\n", "\nOther parameters: Call arguments\n"
        )
        before, heading, example = text.partition("\nExample:\n")
        if heading:
            example = textwrap.indent(textwrap.dedent(example).strip("\n"), "    ")
            text = f"{before}\nExamples: Example\n{example}\n"
        obj.docstring.value = text
