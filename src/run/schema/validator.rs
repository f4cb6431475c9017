//! Whether a value is what a JSON Schema says, by the keywords that ours use.

use serde_json::Value;

/// What of a value a schema does not allow.
pub(crate) fn wrong(schema: &Value, value: &Value, root: &Value) -> Option<String> {
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let fault = match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" | "format" => None,
            "$ref" => {
                let path = rule.as_str().unwrap().strip_prefix('#').unwrap();
                wrong(root.pointer(path).expect("a definition"), value, root)
            }
            "oneOf" => {
                let all: Vec<_> =
                    rule.as_array().unwrap().iter().map(|one| wrong(one, value, root)).collect();
                let fits = all.iter().filter(|fault| fault.is_none()).count();
                (fits != 1).then(|| format!("{fits} of {all:#?}"))
            }
            "const" => (value != rule).then(|| format!("{value} is not {rule}")),
            "enum" => {
                (!rule.as_array().unwrap().contains(value)).then(|| format!("{value} is not in {rule}"))
            }
            "type" if rule == "number" => (!value.is_number()).then(|| format!("{value} is no number")),
            "type" if rule.is_array() => {
                let fits = rule.as_array().unwrap().iter().any(|one| kind(value) == one);
                (!fits).then(|| format!("{value} is none of {rule}"))
            }
            "type" => (kind(value) != rule.as_str().unwrap()).then(|| format!("{value} is no {rule}")),
            "pattern" => {
                let pattern = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                (!pattern.is_match(value.as_str()?)).then(|| format!("{value} is no {rule}"))
            }
            "minimum" => (value.as_u64() < rule.as_u64()).then(|| format!("{value} is less than {rule}")),
            "minItems" => (value.as_array()?.is_empty()).then(|| "empty".to_owned()),
            "items" => value.as_array()?.iter().find_map(|item| wrong(rule, item, root)),
            "required" => {
                let missing = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                rule.as_array().unwrap().iter().find(missing).map(|name| format!("{name} is missing"))
            }
            "properties" => {
                value.as_object()?.iter().find_map(|(name, value)| wrong(rule.get(name)?, value, root))
            }
            "additionalProperties" => {
                let known = |name: &&String| schema["properties"].get(name.as_str()).is_none();
                value.as_object()?.keys().find(known).map(|name| format!("`{name}` is unknown"))
            }
            other => panic!("a keyword that is not checked: {other}"),
        };
        if fault.is_some() {
            return fault;
        }
    }
    None
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Null => "null",
    }
}
