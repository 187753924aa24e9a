# Numbers of a page (.numbers of probe.js) that are not those of its reports ($reports): a line each.
# A number is what its text says, in the unit of the report's key, within the digits shown.

def factor($unit; $pointer):
    {"": 1, "s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9,
     "TB": 1e12, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "%": 0.01, "USD": 1, "kWh": 1,
     "GB/s": 1}[$unit] as $plain
    | if ($pointer | test("_percent$")) and $unit == "%" then 1
      elif ($pointer | test("_us$")) and $unit == "µs" then 1
      else $plain end;

.numbers[]
| .pointer as $pointer
| ($reports[.report] | getpath($pointer | split("/")[1:]
    | map(if test("^[0-9]+$") then tonumber else . end))) as $wanted
| (.text | gsub("−"; "-") | gsub("\u202f"; "")
    | capture("^(?<number>[-+]?[0-9.]+(e[-+]?[0-9]+)?)( (?<unit>\\S+))?$")) as $shown
| factor($shown.unit // ""; $pointer) as $factor
| ($shown.number | ltrimstr("+") | tonumber * $factor) as $value
# Four digits, or one decimal of a per cent.
| (if $shown.unit == "%" then 0.051 * $factor else 6e-4 * ($wanted | fabs) end) as $margin
| select($factor == null or ($value - $wanted | fabs) > $margin)
| "\($pointer): shows \(.text), the report says \($wanted)"
