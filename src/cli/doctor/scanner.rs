//! The scanners of images.

use std::env::split_paths;
use std::path::PathBuf;

use crate::cli::doctor::{good, missing};
use crate::cli::place::Places;
use crate::facts::Environment;
use crate::inspect::scanner_source;
use crate::report::Check;

/// Looks for each scanner that hoist starts itself.
pub(super) fn scanners(places: &Places, environment: &Environment) -> Vec<Check> {
    let images = places.known.iter().flat_map(|(loaded, _)| loaded.release.images.values());
    let mut checks: Vec<Check> = Vec::new();
    for scan in images.flat_map(|image| &image.scans).filter(|scan| scan.run.is_empty()) {
        let program = scan.scanner.value.as_str();
        let name = format!("scanner {program}");
        if checks.iter().any(|check| check.name == name) {
            continue;
        }
        checks.push(match find(program, environment) {
            Some(path) => good(&name, path.display().to_string()),
            None => missing(
                &name,
                true,
                "there is no such program in PATH".to_owned(),
                scanner_source(scan.format),
            ),
        });
    }
    checks
}

fn find(program: &str, environment: &Environment) -> Option<PathBuf> {
    let path = environment.get("PATH")?;
    split_paths(path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
