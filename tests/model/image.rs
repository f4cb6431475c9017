//! What was published, read back.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use crate::tree::{Node, Tree};

/// The step that publishes.
pub(crate) const PUSH: &str = "img:push@out";

/// The directory of the registry.
pub(crate) const REGISTRY: &str = "dist";

/// The events of the last run in a checkout.
pub(crate) fn last_events(root: &Path) -> Vec<Value> {
    let runs = fs::read_dir(root.join(".hoist/runs")).into_iter().flatten().flatten();
    let last = runs.map(|run| run.path()).max().expect("there was a run");
    let events = fs::read_to_string(last.join("events.jsonl")).expect("it was recorded");
    events.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

/// How a step of the last run ended.
pub(crate) fn ended(root: &Path, step: &str) -> Option<Value> {
    last_events(root).into_iter().find(|event| event["event"] == "step-ended" && event["step"] == step)
}

/// The files of all layers of the image that the last run published.
pub(crate) fn published(root: &Path) -> Result<Tree, String> {
    ended(root, PUSH).ok_or("nothing was published")?;
    let event = ended(root, "img:index").ok_or("nothing was built")?;
    let blobs = root.join(REGISTRY).join("img/blobs/sha256");
    let blob = |digest: &Value| {
        let name = digest.as_str().and_then(|digest| digest.strip_prefix("sha256:"));
        fs::read(blobs.join(name.unwrap_or_default())).map_err(|error| format!("{digest}: {error}"))
    };
    let manifest: Value = serde_json::from_slice(&blob(&event["digest"])?).map_err(|it| it.to_string())?;
    let mut files = Tree::default();
    for layer in manifest["layers"].as_array().into_iter().flatten() {
        read_layer(&blob(&layer["digest"])?, &mut files).map_err(|error| error.to_string())?;
    }
    Ok(files)
}

fn read_layer(bytes: &[u8], files: &mut Tree) -> std::io::Result<()> {
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(bytes)).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_dir() {
            let path = entry.path()?.to_string_lossy().into_owned();
            let executable = entry.header().mode()? & 0o111 != 0;
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            files.0.insert(path, Node::File { text, executable });
        }
    }
    Ok(())
}
