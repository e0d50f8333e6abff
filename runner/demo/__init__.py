"""The demo's surroundings: a sample application's table and a host for its pictures.

`pictures` is the catalogue (photographs, drawn birds, and pictures that are broken on purpose),
`host` serves it over HTTP on loopback, `application` fills the sample table with rows that point
there, and `report` renders what the demo prints at its end. What the engine does with those rows
is no business of this package.
"""
