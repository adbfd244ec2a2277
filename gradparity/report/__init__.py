"""Results, as people read them: one file or folder for each form.

`facts` says what there is to say, once; `terminal`, `page`, `markdown` and `notebook` render it, and `frame`,
`blocks` and `export` give tables to other tools. Everything comes from a result: nothing is measured, judged or asked
of a process.
"""
