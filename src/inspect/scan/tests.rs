//! Reports of scanners, by their documented forms, and what is thought of them.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::{Scan, ScanAllow, Severity};
use crate::diagnostic::{Sources, Span, Spanned};
use crate::oci::Platform;

const TRIVY: &str = include_str!("tests/trivy.json");
const GRYPE: &str = include_str!("tests/grype.json");
const SNYK: &str = include_str!("tests/snyk.json");
const SARIF: &str = include_str!("tests/sarif.json");

const FORMATS: [(ScanFormat, &str); 4] = [
    (ScanFormat::Trivy, TRIVY),
    (ScanFormat::Grype, GRYPE),
    (ScanFormat::Snyk, SNYK),
    (ScanFormat::Sarif, SARIF),
];

fn report(format: ScanFormat, text: &str) -> ScannerReport {
    read_report(format, text.as_bytes()).unwrap()
}

fn misread(format: ScanFormat, text: &str) -> String {
    read_report(format, text.as_bytes()).unwrap_err().to_string()
}

fn finding(id: &str, severity: Option<Severity>, package: &str) -> Finding {
    Finding {
        id: id.to_owned(),
        aliases: Vec::new(),
        severity,
        package: package.to_owned(),
        installed: String::new(),
        fixed: None,
        title: None,
    }
}

fn span() -> Span {
    Span::new(Sources::new().add("release.kdl", ""), 0..0)
}

fn scan(fail_on: Severity, allow: &[(&str, &str)]) -> Scan {
    let allow = allow.iter().map(|(id, until)| ScanAllow {
        id: Spanned::new((*id).to_owned(), span()),
        until: Spanned::new(until.parse().unwrap(), span()),
        reason: "not reachable".to_owned(),
    });
    Scan {
        scanner: Spanned::new("trivy".to_owned(), span()),
        fail_on,
        unknown: Severity::Medium,
        format: ScanFormat::Trivy,
        run: Vec::new(),
        allow: allow.collect(),
        span: span(),
    }
}

fn platform(name: &str) -> Platform {
    name.parse().unwrap()
}

#[test]
fn a_report_of_trivy_is_read() {
    let report = report(ScanFormat::Trivy, TRIVY);
    assert_eq!((report.version.as_deref(), report.database), (Some("0.68.1"), None));
    let expected = [
        Finding {
            aliases: vec!["DSA-5417-1".to_owned()],
            installed: "1.1.1n-0+deb11u4".to_owned(),
            fixed: Some("1.1.1n-0+deb11u5".to_owned()),
            title: Some("openssl: Possible DoS translating ASN.1 object identifiers".to_owned()),
            ..finding("CVE-2023-2650", Some(Severity::High), "openssl")
        },
        Finding {
            installed: "5.2.15-2+b2".to_owned(),
            ..finding("TEMP-0841856-B18BAF", Some(Severity::Low), "bash")
        },
        Finding { installed: "4.17.4".to_owned(), ..finding("CVE-2026-0001", None, "lodash") },
        Finding {
            aliases: vec!["AVD-DS-0002".to_owned()],
            title: Some("Image user should not be 'root'".to_owned()),
            ..finding("DS002", Some(Severity::High), "app/Dockerfile")
        },
        Finding {
            title: Some("AWS Access Key ID".to_owned()),
            ..finding("aws-access-key-id", Some(Severity::Critical), "/app/.env")
        },
    ];
    assert_eq!(report.findings, expected);
}

#[test]
fn an_image_in_which_trivy_found_nothing_to_look_at_passes() {
    let bare = r#"{"SchemaVersion":2,"ArtifactName":"x","ArtifactType":"container_image","Metadata":{}}"#;
    assert_eq!(report(ScanFormat::Trivy, bare).findings, []);
}

#[test]
fn a_report_of_grype_is_read() {
    let report = report(ScanFormat::Grype, GRYPE);
    let about = (report.version.as_deref(), report.database.as_deref());
    assert_eq!(about, (Some("0.104.1"), Some("2026-11-26T06:31:22Z")));
    let expected = [
        Finding {
            aliases: vec!["CVE-2023-2650".to_owned()],
            installed: "1.1.1n-r0".to_owned(),
            fixed: Some("1.1.1u-r0, 3.0.9-r0".to_owned()),
            title: Some("Issue summary: Processing some specially crafted ASN.1 objects".to_owned()),
            ..finding("GHSA-gqxg-9vfr-p9cg", Some(Severity::High), "openssl")
        },
        Finding {
            installed: "1.36.1-r2".to_owned(),
            ..finding("CVE-2023-42364", Some(Severity::Negligible), "busybox")
        },
        Finding { installed: "1.3".to_owned(), ..finding("CVE-2026-0002", None, "zlib") },
    ];
    assert_eq!(report.findings, expected);
}

#[test]
fn grype_said_before_its_sixth_database_elsewhere_when_that_was_built() {
    let old = r#"{"matches":[],"descriptor":{"name":"grype","version":"0.74.0","db":{"built":"2024-01-30T01:26:00Z","schemaVersion":5}}}"#;
    assert_eq!(report(ScanFormat::Grype, old).database.as_deref(), Some("2024-01-30T01:26:00Z"));
}

#[test]
fn a_report_of_snyk_is_read_with_its_applications_and_as_a_list() {
    let report = report(ScanFormat::Snyk, SNYK);
    let expected = [
        Finding {
            aliases: vec!["CVE-2023-2650".to_owned()],
            installed: "1.1.1n-0+deb11u4".to_owned(),
            fixed: Some("1.1.1n-0+deb11u5".to_owned()),
            title: Some("Allocation of Resources Without Limits or Throttling".to_owned()),
            ..finding("SNYK-DEBIAN11-OPENSSL-5661565", Some(Severity::Critical), "openssl/libssl1.1")
        },
        Finding {
            aliases: vec!["CVE-2020-8203".to_owned(), "GHSA-p6mc-m468-83gw".to_owned()],
            installed: "4.17.15".to_owned(),
            fixed: Some("4.17.16, 4.18.0".to_owned()),
            title: Some("Prototype Pollution".to_owned()),
            ..finding("SNYK-JS-LODASH-567746", Some(Severity::Medium), "lodash")
        },
    ];
    assert_eq!(report.findings, expected);
    let twice = format!("[{SNYK},{SNYK}]");
    assert_eq!(read_report(ScanFormat::Snyk, twice.as_bytes()).unwrap().findings.len(), 4);
}

#[test]
fn a_report_in_sarif_is_read() {
    let report = report(ScanFormat::Sarif, SARIF);
    assert_eq!(report.version.as_deref(), Some("1.4.2"));
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|one| (one.id.as_str(), one.severity, one.package.as_str(), one.title.as_deref()))
        .collect();
    let expected = [
        ("CVE-2023-2650", Some(Severity::High), "library/web", Some("Possible DoS")),
        ("no-latest", Some(Severity::Medium), "Dockerfile", Some("uses latest")),
        ("weak-hash", Some(Severity::Low), "", Some("said of the result")),
        ("of-extension", Some(Severity::Critical), "", None),
        ("odd", None, "", None),
        ("scored", Some(Severity::Negligible), "", None),
        ("disputed", Some(Severity::Medium), "", None),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_rule_of_a_result_in_sarif_may_be_one_of_an_extension_or_above_its_name() {
    let rules = |rules: &[(&str, &str)]| {
        let rules = rules.iter().map(|(id, level)| {
            json!({ "id": id, "guid": format!("guid-{id}"), "defaultConfiguration": { "level": level } })
        });
        rules.collect::<Vec<_>>()
    };
    let found = |result: serde_json::Value| {
        let tool = json!({
            "driver": { "name": "a", "rules": rules(&[("CA1000", "error"), ("CA1000/2", "none"), ("x", "note")]) },
            "extensions": [
                { "name": "b", "rules": rules(&[("x", "error")]) },
                { "name": "c", "guid": "GUID-C", "rules": rules(&[("y", "note"), ("x", "none")]) },
            ],
        });
        let log = json!({ "version": "2.1.0", "runs": [{ "tool": tool, "results": [result] }] });
        let Finding { id, aliases, severity, .. } =
            report(ScanFormat::Sarif, &log.to_string()).findings.remove(0);
        (id, aliases.join(" "), severity)
    };
    let expect = |result: serde_json::Value, id: &str, rule: &str, severity| {
        assert_eq!(found(result.clone()), (id.to_owned(), rule.to_owned(), Some(severity)), "{result}");
    };
    expect(json!({ "ruleId": "CA1000/1", "ruleIndex": 0 }), "CA1000/1", "CA1000", Severity::High);
    expect(json!({ "ruleId": "CA1000/1" }), "CA1000/1", "CA1000", Severity::High);
    expect(json!({ "ruleId": "CA1000/2" }), "CA1000/2", "", Severity::Negligible);
    expect(json!({ "ruleId": "CA10001" }), "CA10001", "", Severity::Medium);
    let of = |component: serde_json::Value| json!({ "toolComponent": component });
    expect(
        json!({ "ruleId": "x", "ruleIndex": 0, "rule": of(json!({ "index": 0 })) }),
        "x",
        "",
        Severity::High,
    );
    expect(
        json!({ "ruleId": "x", "ruleIndex": -1, "rule": of(json!({ "index": 0 })) }),
        "x",
        "",
        Severity::High,
    );
    expect(
        json!({ "rule": { "index": 1, "toolComponent": { "guid": "guid-c" } } }),
        "x",
        "",
        Severity::Negligible,
    );
    expect(json!({ "rule": { "guid": "GUID-y", "toolComponent": { "index": 1 } } }), "y", "", Severity::Low);
    expect(
        json!({ "ruleId": "x/1", "rule": of(json!({ "guid": "guid-c" })) }),
        "x/1",
        "x",
        Severity::Negligible,
    );
    expect(json!({ "ruleId": "x", "rule": of(json!({ "name": "a", "index": -1 })) }), "x", "", Severity::Low);
    // What counts from elsewhere is found by its name.
    expect(
        json!({ "ruleId": "y", "ruleIndex": 1, "rule": of(json!({ "index": 7 })) }),
        "y",
        "",
        Severity::Low,
    );
}

#[test]
fn what_is_not_understood_says_why() {
    for (format, _) in FORMATS {
        assert_eq!(misread(format, " \n"), "it is empty");
        assert!(misread(format, "FATAL: no space left").starts_with("it is not JSON: "), "{format:?}");
        for other in ["null", "7", "\"x\"", "[7]", "{}"] {
            assert!(read_report(format, other.as_bytes()).is_err(), "{format:?} {other}");
        }
    }
    let newer = "its `SchemaVersion` is 3, and hoist reads 2";
    assert_eq!(misread(ScanFormat::Trivy, r#"{"SchemaVersion":3}"#), newer);
    let nameless =
        r#"{"SchemaVersion":2,"Results":[{"Target":"x","Vulnerabilities":[{"VulnerabilityID":""}]}]}"#;
    assert_eq!(misread(ScanFormat::Trivy, nameless), "it has a finding without an id");
    let failed = r#"{"ok":false,"error":"Authentication failed. Please check the API token","path":"x"}"#;
    let said = "it says that the scan failed: Authentication failed. Please check the API token";
    assert_eq!(misread(ScanFormat::Snyk, failed), said);
    assert_eq!(misread(ScanFormat::Snyk, "[]"), "it is about nothing");
    let sarif = |rest: &str| misread(ScanFormat::Sarif, &format!(r#"{{"version":"2.1.0",{rest}}}"#));
    assert_eq!(sarif(r#""runs":[]"#), "it has no run of a tool");
    let none = r#""runs":[{"tool":{"driver":{"name":"x"}}}]"#;
    assert_eq!(sarif(none), "it says that the tool did not look for anything");
    let broken = r#""runs":[{"tool":{"driver":{"name":"x"}},"invocations":[{"executionSuccessful":false}],"results":[]}]"#;
    assert_eq!(sarif(broken), "it says that the tool failed");
    let old = r#"{"version":"2.0.0","runs":[]}"#;
    assert_eq!(misread(ScanFormat::Sarif, old), "it is SARIF `2.0.0`, and hoist reads 2.1.0");
}

#[test]
fn scanners_say_their_version() {
    let trivy = "Version: 0.58.1\nVulnerability DB:\n  Version: 2\n  UpdatedAt: 2026-11-26 06:15:11 +0000 UTC\n  \
                 NextUpdate: 2026-11-27 06:15:11 +0000 UTC\n";
    let expected = (Some("0.58.1".to_owned()), Some("2026-11-26 06:15:11 +0000 UTC".to_owned()));
    assert_eq!(scanner_version(ScanFormat::Trivy, trivy), expected);
    let snyk = scanner_version(ScanFormat::Snyk, "1.1297.0 (standalone)\n");
    assert_eq!(snyk, (Some("1.1297.0".to_owned()), None));
    assert_eq!(scanner_version(ScanFormat::Snyk, "usage: …"), (None, None));
}

#[test]
fn the_same_finding_on_several_platforms_is_one() {
    let old = finding("CVE-1", None, "a");
    let worse = Finding { fixed: Some("2".to_owned()), ..finding("CVE-1", Some(Severity::High), "a") };
    let other = finding("CVE-1", Some(Severity::High), "b");
    let found = vec![
        (platform("linux/amd64"), vec![old.clone(), old]),
        (platform("linux/arm64"), vec![worse.clone(), other.clone()]),
    ];
    let verdict = judge(&scan(Severity::High, &[]), found);
    let of = |judged: &Judged| (judged.finding.clone(), judged.platforms.len(), judged.fails);
    let all: Vec<_> = verdict.findings.iter().map(of).collect();
    assert_eq!(all, [(worse, 2, true), (other, 1, true)]);
}

#[test]
fn what_is_allowed_does_not_fail_by_any_of_its_names() {
    let mut aliased = finding("GHSA-1", Some(Severity::Critical), "a");
    aliased.aliases.push("CVE-2024-1".to_owned());
    let found =
        vec![(platform("linux/amd64"), vec![aliased, finding("CVE-2024-2", Some(Severity::High), "b")])];
    let scan = scan(Severity::High, &[("cve-2024-1", "2027-01-31"), ("CVE-2024-9", "2027-01-31")]);
    let verdict = judge(&scan, found);
    assert_eq!(verdict.findings[0].allowed.as_ref().unwrap().reason, "not reachable");
    assert_eq!(verdict.findings.iter().map(|one| one.fails).collect::<Vec<_>>(), [false, true]);
    assert_eq!(verdict.stale, ["CVE-2024-9"]);
    let problem = verdict.problem(&scan, "web").unwrap();
    assert_eq!(problem.title, "`trivy` has 1 finding of severity high or worse in `web`");
    assert_eq!(problem.notes, ["found:\n  high CVE-2024-2 in b"]);
}

#[test]
fn an_allowance_lasts_through_its_last_day() {
    let scan = scan(Severity::High, &[("CVE-2024-1", "2026-11-27")]);
    assert!(expired(&scan, "2026-11-27".parse().unwrap()).is_empty());
    let problems = expired(&scan, "2026-11-28".parse().unwrap());
    assert_eq!(problems.as_slice()[0].title, "`CVE-2024-1` was allowed until 2026-11-27");
}

#[test]
fn a_finding_of_unknown_severity_counts_as_is_said() {
    let found = || vec![(platform("linux/amd64"), vec![finding("CVE-1", None, "a")])];
    for (unknown, fails) in [(Severity::Medium, false), (Severity::High, true)] {
        let scan = Scan { unknown, ..scan(Severity::High, &[]) };
        let verdict = judge(&scan, found());
        assert_eq!((verdict.findings[0].fails, verdict.findings[0].finding.severity), (fails, None));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (format, _) in FORMATS {
            let _read = read_report(format, &bytes);
        }
    }

    /// Nothing but a whole report is one.
    #[test]
    fn a_report_that_is_cut_off_is_not_understood(share in 0.0..1.0f64) {
        for (format, text) in FORMATS {
            let text = text.trim();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let end = text.floor_char_boundary((text.len() as f64 * share) as usize);
            prop_assert!(read_report(format, &text.as_bytes()[..end]).is_err());
        }
    }

    /// A scan fails if and only if something is as bad as that, and nobody allowed it.
    #[test]
    fn a_scan_fails_of_what_is_bad_and_not_allowed(
        found in prop::collection::vec((0..6usize, 0..5usize), 0..12),
        least in 0..5usize,
        allowed in prop::collection::vec(0..6usize, 0..3),
    ) {
        let severity = |at: usize| Severity::ALL.get(at).copied();
        let ids: Vec<String> = allowed.iter().map(|at| format!("CVE-{at}")).collect();
        let allow: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "2027-01-01")).collect();
        let scan = scan(severity(least).unwrap(), &allow);
        let all = found.iter().map(|(id, at)| finding(&format!("CVE-{id}"), severity(*at), "p"));
        let verdict = judge(&scan, vec![(platform("linux/amd64"), all.collect())]);
        let bad = |(id, at): &(usize, usize)| severity(*at).unwrap_or(Severity::Medium) >= scan.fail_on && !allowed.contains(id);
        prop_assert_eq!(verdict.problem(&scan, "web").is_some(), found.iter().any(bad));
        let order: Vec<_> = verdict.findings.iter().map(|one| one.finding.severity.unwrap_or(Severity::Medium)).collect();
        prop_assert!(order.is_sorted_by(|a, b| a >= b));
    }
}
