//! An image, described.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::diagnostic::bytes;
use crate::inspect::{ImageReport, LayerReport, PlatformReport};
use crate::report::{Look, Paint, Table};

/// Layers, sizes, wasted bytes, the largest files, and the configuration.
#[must_use]
pub fn inspection(report: &ImageReport, look: Look) -> String {
    let mut out = format!("{}\n", look.paint(Paint::Strong, &report.descriptor.digest.to_string()));
    for platform in &report.platforms {
        out.push_str(&of_platform(platform, look));
    }
    out
}

fn of_platform(image: &PlatformReport, look: Look) -> String {
    let head = look.paint(Paint::Name, &image.platform.to_string());
    let sizes = format!("{} unpacked, {} to transfer", bytes(image.size()), bytes(image.transferred()));
    let mut out = format!("\n{head}  {sizes}\n");
    let mut layers = Table::new();
    layers.head(["layer", "unpacked", "transfer", "made by"]);
    for layer in &image.layers {
        let LayerReport { descriptor, size, created_by, .. } = layer;
        layers.row([
            (None, descriptor.digest.short()),
            (None, bytes(*size)),
            (None, bytes(descriptor.size)),
            (Some(Paint::Faint), created_by.clone().unwrap_or_default()),
        ]);
    }
    out.push_str(&layers.render(look, 2));
    let mut files = Table::new();
    for file in &image.largest {
        files.row([(None, bytes(file.size)), (None, path(&file.path))]);
    }
    section(&mut out, "Largest files", &files, look);
    let mut wasted = Table::new();
    for waste in &image.wasted {
        wasted.row([(None, bytes(waste.size)), (None, path(&waste.path))]);
    }
    section(&mut out, &format!("Wasted: {}", bytes(image.wasted_size())), &wasted, look);
    section(&mut out, "Configuration", &configuration(image), look);
    out
}

fn section(out: &mut String, title: &str, table: &Table, look: Look) {
    if !table.is_empty() {
        let _ = write!(out, "  {}\n{}", look.paint(Paint::Faint, title), table.render(look, 4));
    }
}

fn configuration(image: &PlatformReport) -> Table {
    let config = &image.config.config;
    let mut table = Table::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([(Some(Paint::Faint), name.to_owned()), (None, value)]);
        }
    };
    let words = |words: &Option<Vec<String>>| words.as_deref().unwrap_or_default().join(" ");
    row("created", image.config.created.clone().unwrap_or_default());
    row("entrypoint", words(&config.entrypoint));
    row("cmd", words(&config.cmd));
    row("user", config.user.clone().unwrap_or_default());
    row("workdir", config.working_dir.clone().unwrap_or_default());
    row("ports", config.exposed_ports.keys().cloned().collect::<Vec<_>>().join(" "));
    row("volumes", config.volumes.keys().cloned().collect::<Vec<_>>().join(" "));
    for variable in &config.env {
        row("env", variable.clone());
    }
    for (name, value) in &config.labels {
        row("label", format!("{name}={value}"));
    }
    table
}

/// The same as a JSON value.
#[must_use]
pub fn inspection_json(report: &ImageReport) -> Value {
    let platforms = report.platforms.iter().map(|image| {
        let layers = image.layers.iter().map(|layer| {
            json!({
                "digest": layer.descriptor.digest,
                "diffId": layer.diff_id,
                "size": layer.size,
                "transferred": layer.descriptor.size,
                "createdBy": layer.created_by,
            })
        });
        let files = |files: Vec<(&[u8], u64)>| -> Vec<Value> {
            let file = |(name, size)| json!({ "path": path(name), "size": size });
            files.into_iter().map(file).collect()
        };
        json!({
            "platform": image.platform.to_string(),
            "manifest": image.manifest.digest,
            "size": image.size(),
            "transferred": image.transferred(),
            "wasted": image.wasted_size(),
            "layers": layers.collect::<Vec<_>>(),
            "largestFiles": files(image.largest.iter().map(|file| (&*file.path, file.size)).collect()),
            "wastedFiles": files(image.wasted.iter().map(|waste| (&*waste.path, waste.size)).collect()),
            "config": serde_json::to_value(&image.config).unwrap_or_default(),
        })
    });
    json!({ "digest": report.descriptor.digest, "platforms": platforms.collect::<Vec<_>>() })
}

fn path(bytes: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(bytes))
}
