# What of the input does not conform to a JSON Schema ($schema[0]): a line each; nothing if it does.
# Knows the keywords that our schemas use and refuses others.

def known: ["$schema", "$defs", "$ref", "title", "description", "default", "type", "const", "enum",
    "properties", "required", "additionalProperties", "items", "minItems", "maxItems", "minimum",
    "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "pattern", "anyOf",
    "oneOf", "allOf", "if", "then"];

def is($wanted):
    if $wanted == "integer" then type == "number" and floor == . else type == $wanted end;

def problems($s; $path):
    . as $value
    | if $s == true then empty
      elif $s == false then "\($path): not allowed"
      else
        (($s | keys) - known | select(length > 0) | "\($path): the schema uses \(.)"),
        (select($s | has("$ref"))
         | problems($schema[0] | getpath($s["$ref"] | split("/")[1:]); $path)),
        (($s.allOf // [])[] as $part | problems($part; $path)),
        (select($s | has("anyOf"))
         | [$s.anyOf[] as $part | [problems($part; $path)]]
         | select(all(length > 0)) | "\($path): \(flatten | join(", or "))"),
        (select($s | has("oneOf"))
         | [$s.oneOf[] as $part | [problems($part; $path)] | select(length == 0)] | length
         | select(. != 1) | "\($path): conforms to \(.) of oneOf"),
        (select(($s | has("if")) and ([problems($s.if; $path)] | length == 0))
         | problems($s.then; $path)),
        (select(($s | has("type")) and ([$s.type | if type == "array" then .[] else . end
                                        | . as $wanted | $value | is($wanted)] | any | not))
         | "\($path): is no \($s.type)"),
        (select(($s | has("const")) and $value != $s.const) | "\($path): is not \($s.const)"),
        (select(($s | has("enum")) and ($s.enum | index([$value]) == null))
         | "\($path): \($value) is none of \($s.enum)"),
        (numbers | select((($s | has("minimum")) and . < $s.minimum)
                          or (($s | has("maximum")) and . > $s.maximum)
                          or (($s | has("exclusiveMinimum")) and . <= $s.exclusiveMinimum)
                          or (($s | has("exclusiveMaximum")) and . >= $s.exclusiveMaximum))
         | "\($path): \(.) is out of range"),
        (strings | select(length < ($s.minLength // 0)) | "\($path): is too short"),
        (strings | select(($s | has("pattern")) and (test($s.pattern) | not))
         | "\($path): does not match \($s.pattern)"),
        (arrays
         | (select(length < ($s.minItems // 0) or length > ($s.maxItems // infinite))
            | "\($path): \(length) items"),
           (select($s | has("items")) | to_entries[]
            | .key as $i | .value | problems($s.items; "\($path)/\($i)"))),
        (objects
         | (($s.required // []) - keys | .[] | "\($path): no \(.)"),
           (to_entries[] | .key as $key | .value
            | problems(if ($s.properties // {}) | has($key) then $s.properties[$key]
                       elif $s | has("additionalProperties") then $s.additionalProperties
                       else true end; "\($path)/\($key)")))
      end;

problems($schema[0]; "")
