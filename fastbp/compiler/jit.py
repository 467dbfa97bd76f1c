"""What other rooms take from here."""

from fastbp.compiler.entries import Entry as Entry
from fastbp.compiler.entries import entry as entry
from fastbp.compiler.modules import add_this_module
from fastbp.compiler.parts import inline as inline
from fastbp.compiler.parts import kernel as kernel
from fastbp.compiler.switches import known_codes as known_codes
from fastbp.compiler.switches import switch as switch
from fastbp.compiler.switches import switch_over as switch_over
from fastbp.compiler.switches import when_extended as when_extended
from fastbp.compiler.switches import when_sparse as when_sparse

add_this_module()
