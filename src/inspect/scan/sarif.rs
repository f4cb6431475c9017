//! SARIF 2.1.0, the Static Analysis Results Interchange Format of OASIS, as far as it says
//! what was found, how bad that is, and where.

use serde::Deserialize;
use serde_json::Value;

use crate::config::Severity;
use crate::inspect::scan::finding::{document, id, line};
use crate::inspect::scan::{Finding, Misread, ScannerReport};

#[derive(Deserialize)]
struct Log {
    version: String,
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    #[serde(default)]
    invocations: Vec<Invocation>,
    /// Missing where the tool did not come to look for anything (section 3.14.23).
    results: Option<Vec<Outcome>>,
}

#[derive(Deserialize)]
struct Tool {
    driver: Component,
    #[serde(default)]
    extensions: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    guid: Option<String>,
    version: Option<String>,
    semantic_version: Option<String>,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    guid: Option<String>,
    short_description: Option<Message>,
    default_configuration: Option<Configuration>,
    #[serde(default)]
    properties: Value,
}

#[derive(Deserialize)]
struct Configuration {
    level: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rule_id: Option<String>,
    rule_index: Option<i64>,
    rule: Option<Referred>,
    kind: Option<String>,
    level: Option<String>,
    message: Option<Message>,
    #[serde(default)]
    locations: Vec<Location>,
    #[serde(default)]
    suppressions: Option<Vec<Suppression>>,
    #[serde(default)]
    properties: Value,
}

/// Where a rule is (section 3.52). An index of -1 is none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referred {
    id: Option<String>,
    index: Option<i64>,
    guid: Option<String>,
    tool_component: Option<ReferredComponent>,
}

/// Which part of the tool has it (section 3.54).
#[derive(Deserialize)]
struct ReferredComponent {
    index: Option<i64>,
    guid: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: Option<Physical>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Option<Artifact>,
}

#[derive(Deserialize)]
struct Artifact {
    uri: Option<String>,
}

#[derive(Deserialize)]
struct Suppression {
    status: Option<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<ScannerReport, Misread> {
    let log: Log = document(bytes)?;
    if log.version != "2.1.0" {
        let said = line(&log.version).unwrap_or_default();
        return Err(Misread::new(format!("it is SARIF `{said}`, and hoist reads 2.1.0")));
    }
    if log.runs.is_empty() {
        return Err(Misread::new("it has no run of a tool"));
    }
    let mut report = ScannerReport::default();
    for run in log.runs {
        if run.invocations.iter().any(|invocation| invocation.execution_successful == Some(false)) {
            return Err(Misread::new("it says that the tool failed"));
        }
        let Some(results) = &run.results else {
            return Err(Misread::new("it says that the tool did not look for anything"));
        };
        let driver = &run.tool.driver;
        let version = driver.version.as_ref().or(driver.semantic_version.as_ref());
        report.version = report.version.or_else(|| version.and_then(|version| line(version)));
        for found in results.iter().filter(|found| found.is_fault()) {
            report.findings.push(found.finding(&run.tool)?);
        }
    }
    Ok(report)
}

impl Outcome {
    /// Whether it is a fault, and is not suppressed: by its kind (section 3.27.9), and the
    /// status of each suppression (section 3.27.23).
    fn is_fault(&self) -> bool {
        let suppressed = self.suppressions.as_ref().is_some_and(|all| {
            let accepted =
                |one: &Suppression| one.status.as_deref().is_none_or(|status| status == "accepted");
            !all.is_empty() && all.iter().all(accepted)
        });
        !suppressed && !matches!(self.kind.as_deref(), Some("pass" | "notApplicable" | "informational"))
    }

    fn finding(&self, tool: &Tool) -> Result<Finding, Misread> {
        let rule = self.rule_in(tool);
        let of_rule = rule.map(|rule| rule.id.as_str());
        let named = self.named().or(of_rule).unwrap_or_default();
        let location = self.locations.iter().find_map(|location| {
            location.physical_location.as_ref()?.artifact_location.as_ref()?.uri.as_deref()
        });
        let text = |message: Option<&Message>| message.and_then(|message| line(message.text.as_deref()?));
        let title = text(rule.and_then(|rule| rule.short_description.as_ref()));
        Ok(Finding {
            id: id(named)?,
            // Whoever allows a rule allows its parts.
            aliases: of_rule.filter(|of_rule| *of_rule != named).map(str::to_owned).into_iter().collect(),
            severity: self.severity(rule),
            package: location.and_then(line).unwrap_or_default(),
            installed: String::new(),
            fixed: None,
            title: title.or_else(|| text(self.message.as_ref())),
        })
    }

    /// What it is called: that of its rule, or with a part more (section 3.52.4).
    fn named(&self) -> Option<&str> {
        self.rule_id.as_deref().or_else(|| self.rule.as_ref()?.id.as_deref())
    }

    /// The rule that it broke: where it says that this is, if that fits its name, else by
    /// its name, since not all tools count as they should.
    fn rule_in<'a>(&self, tool: &'a Tool) -> Option<&'a Rule> {
        let (named, referred) = (self.named(), self.rule.as_ref());
        let fits = |rule: &&Rule| named.is_none_or(|named| part_of(named, &rule.id).is_some());
        let component = self.component_in(tool);
        let index = place(self.rule_index).or_else(|| place(referred?.index));
        let at = index.and_then(|index| component?.rules.get(index)).filter(fits);
        let marked = || {
            let guid = referred?.guid.as_deref()?;
            component?.rules.iter().find(|rule| is_guid(rule.guid.as_deref(), guid))
        };
        let called = |rules: &mut dyn Iterator<Item = &'a Rule>| {
            let parts = |rule: &'a Rule| Some((part_of(named?, &rule.id)?, rule));
            rules.filter_map(parts).min_by_key(|(part, _)| part.len()).map(|(_, rule)| rule)
        };
        let components = [&tool.driver].into_iter().chain(&tool.extensions);
        at.or_else(marked)
            .or_else(|| called(&mut component?.rules.iter()))
            .or_else(|| called(&mut components.flat_map(|component| &component.rules)))
    }

    /// The part of the tool that has the rule: the driver, where it names no other.
    fn component_in<'a>(&self, tool: &'a Tool) -> Option<&'a Component> {
        let referred = self.rule.as_ref().and_then(|rule| rule.tool_component.as_ref());
        let Some(ReferredComponent { index, guid }) = referred else { return Some(&tool.driver) };
        match (place(*index), guid) {
            (Some(index), _) => tool.extensions.get(index),
            (None, Some(guid)) => {
                let mut components = [&tool.driver].into_iter().chain(&tool.extensions);
                components.find(|component| is_guid(component.guid.as_deref(), guid))
            }
            (None, None) => Some(&tool.driver),
        }
    }

    /// By the score of CVSS in `security-severity`, as code scanners agree on, else by the
    /// level, which is `warning` where nothing else is said (section 3.27.10).
    fn severity(&self, rule: Option<&Rule>) -> Option<Severity> {
        let score = score(&self.properties).or_else(|| score(&rule?.properties));
        if let Some(score) = score {
            return Some(match score {
                score if score >= 9.0 => Severity::Critical,
                score if score >= 7.0 => Severity::High,
                score if score >= 4.0 => Severity::Medium,
                score if score > 0.0 => Severity::Low,
                _ => Severity::Negligible,
            });
        }
        let of_rule = rule.and_then(|rule| rule.default_configuration.as_ref()?.level.as_deref());
        match self.level.as_deref().or(of_rule).unwrap_or("warning") {
            "error" => Some(Severity::High),
            "warning" => Some(Severity::Medium),
            "note" => Some(Severity::Low),
            "none" => Some(Severity::Negligible),
            _ => None,
        }
    }
}

/// What a name says behind that of a rule: nothing, or a part more, with the `/` before it.
fn part_of<'a>(named: &'a str, rule: &str) -> Option<&'a str> {
    named.strip_prefix(rule).filter(|part| part.is_empty() || part.starts_with('/'))
}

fn place(index: Option<i64>) -> Option<usize> {
    usize::try_from(index?).ok()
}

fn is_guid(known: Option<&str>, guid: &str) -> bool {
    known.is_some_and(|known| known.eq_ignore_ascii_case(guid))
}

fn score(properties: &Value) -> Option<f64> {
    let score = match properties.get("security-severity")? {
        Value::String(text) => text.trim().parse().ok()?,
        number => number.as_f64()?,
    };
    (0.0..=10.0).contains(&score).then_some(score)
}
