//! Software bills of materials, recognised by what they say of themselves.

use serde_json::Value;

/// A bill of materials.
#[derive(Clone, Debug, PartialEq)]
pub struct Sbom {
    /// The document.
    pub document: Value,
    /// Its media type.
    pub media_type: &'static str,
    /// The type of a statement that holds it.
    pub predicate_type: &'static str,
}

/// Reads a bill of materials in JSON: CycloneDX or SPDX.
///
/// # Errors
/// Why it is neither: a sentence without a period.
pub fn recognise(bytes: &[u8]) -> Result<Sbom, String> {
    let document: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let spdx_3 = text("@context").is_some_and(|context| context.contains("spdx.org/rdf/3"));
    let (media_type, predicate_type) = if text("bomFormat") == Some("CycloneDX") {
        ("application/vnd.cyclonedx+json", "https://cyclonedx.org/bom")
    } else if spdx_3 || text("spdxVersion").is_some_and(|version| version.starts_with("SPDX-")) {
        ("application/spdx+json", "https://spdx.dev/Document")
    } else {
        let why = "it has neither `\"bomFormat\": \"CycloneDX\"` nor `\"spdxVersion\": \"SPDX-…\"`";
        return Err(why.to_owned());
    };
    Ok(Sbom { document, media_type, predicate_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_of_materials_says_what_it_is() {
        let kind = |text: &str| recognise(text.as_bytes()).map(|sbom| sbom.predicate_type);
        assert_eq!(kind(r#"{"bomFormat":"CycloneDX","specVersion":"1.6"}"#), Ok("https://cyclonedx.org/bom"));
        assert_eq!(kind(r#"{"spdxVersion":"SPDX-2.3"}"#), Ok("https://spdx.dev/Document"));
        let newer = r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}"#;
        assert_eq!(kind(newer), Ok("https://spdx.dev/Document"));
        for other in ["", "[]", "{}", r#"{"bomFormat":"other"}"#, r#"{"spdxVersion":2}"#] {
            assert!(kind(other).is_err(), "{other}");
        }
    }
}
