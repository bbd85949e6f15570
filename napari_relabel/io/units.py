"""Units of length."""

from __future__ import annotations

#: Millimetres in a unit, by every name that files use for it, in lower case.
UNIT_MM = {
    "m": 1e3,
    "meter": 1e3,
    "cm": 10.0,
    "centimeter": 10.0,
    "mm": 1.0,
    "millimeter": 1.0,
    "um": 1e-3,
    "\u00b5m": 1e-3,
    "\u03bcm": 1e-3,
    "\\u00b5m": 1e-3,
    "micron": 1e-3,
    "microns": 1e-3,
    "micrometer": 1e-3,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "angstrom": 1e-7,
    "inch": 25.4,
    "inches": 25.4,
}
