//! An image, described.

use std::fmt::Write as _;

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::diagnostic::{bytes, counted};
use crate::inspect::{ImageReport, PlatformReport, largest, wasted};
use crate::oci::{Descriptor, FileTree, Written};
use crate::report::{Look, Paint, Table};

/// Most files that JSON names as the largest.
const LARGEST: usize = 100;

/// Platforms with layers, sizes, history, and configuration; where the files were
/// looked at, the largest and the wasted ones, at most `top` of each.
#[must_use]
pub fn inspection(report: &ImageReport, top: usize, look: Look) -> String {
    let Descriptor { digest, media_type, .. } = &report.descriptor;
    let mut out = format!("{}\n", look.paint(Paint::Strong, &digest.to_string()));
    let _ = writeln!(out, "{}", look.paint(Paint::Faint, &look.tame(media_type)));
    section(&mut out, 0, "Annotations", &pairs(&report.annotations, look), look);
    for image in &report.platforms {
        of_platform(&mut out, image, top, report.platforms.len() > 1, look);
    }
    let mut attached = Table::new();
    for other in report.referrers.iter().chain(&report.others) {
        attached.row([(None, other.digest.short()), (None, bytes(other.size)), (None, kind(other, look))]);
    }
    section(&mut out, 0, "\nAttached", &attached, look);
    let mut foreign = Table::new();
    for one in &report.foreign {
        foreign.row([(None, look.tame(&one.digest)), (None, one.why.to_string())]);
    }
    section(&mut out, 0, "\nNot read", &foreign, look);
    out
}

/// What something that is no image is: its type as an artifact, if it says so.
fn kind(descriptor: &Descriptor, look: Look) -> String {
    let artifact = descriptor.unknown.get("artifactType").and_then(Written::text);
    let annotation = |name: &str| descriptor.annotations.get(name).map(String::as_str);
    let docker = || annotation("vnd.docker.reference.type");
    let kind = artifact.as_deref().or_else(docker).unwrap_or(&descriptor.media_type);
    // Of Sigstore's bundles, the statement tells more than the form.
    match annotation("dev.sigstore.bundle.predicateType") {
        Some(stated) => look.tame(&format!("{kind}  {stated}")),
        None => look.tame(kind),
    }
}

fn of_platform(out: &mut String, image: &PlatformReport, top: usize, several: bool, look: Look) {
    let head = look.paint(Paint::Name, &look.tame(&image.platform.to_string()));
    let unpacked = image.files.as_ref().map(|files| format!("{} unpacked, ", bytes(files.size())));
    let layers = counted(image.layers.len(), "layer");
    let transferred = bytes(image.transferred());
    let _ = writeln!(out, "\n{head}  {layers}, {}{transferred} to transfer", unpacked.unwrap_or_default());
    if several {
        let _ = writeln!(out, "  {}", look.paint(Paint::Faint, &image.manifest.digest.to_string()));
    }
    if let Some(promised) = &image.promised {
        let lie = format!("its index says {promised}, its configuration {}", image.platform);
        let _ = writeln!(out, "  {}", look.paint(Paint::Bad, &look.tame(&lie)));
    }
    section(out, 2, "Layers", &layers_of(image, look), look);
    let mut elsewhere = Table::new();
    for (layer, urls) in image.elsewhere() {
        elsewhere.row([(None, layer.digest.short()), (None, look.tame(&urls.join(" ")))]);
    }
    section(out, 2, "Layers kept elsewhere", &elsewhere, look);
    if let Some(files) = &image.files {
        of_files(out, files, top, look);
    }
    section(out, 2, "Configuration", &configuration(image, look), look);
    section(out, 2, "Annotations", &pairs(&image.annotations, look), look);
}

/// The history, with the layers that it made.
fn layers_of(image: &PlatformReport, look: Look) -> Table {
    let mut table = Table::new();
    let history = image.history();
    if history.is_empty() {
        return table;
    }
    if image.files.is_some() {
        table.head(["digest", "type", "unpacked", "transfer", "made by"]);
    } else {
        table.head(["digest", "type", "transfer", "made by"]);
    }
    let none = || look.paint(Paint::Faint, "-");
    for (entry, layer) in history {
        let made_by = entry.and_then(|entry| entry.created_by.as_deref().or(entry.comment.as_deref()));
        // The lines of a script are told from one another by a blank.
        let made_by = made_by.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let made_by = (Some(Paint::Faint), look.tame(&made_by));
        let digest = (None, layer.map_or_else(none, |layer| layer.descriptor.digest.short()));
        let form = (None, layer.map_or_else(none, |layer| compression(&layer.descriptor.media_type, look)));
        let size = (None, layer.and_then(|layer| layer.size).map_or_else(none, bytes));
        let transfer = (None, layer.map_or_else(none, |layer| bytes(layer.descriptor.size)));
        if image.files.is_some() {
            table.row([digest, form, size, transfer, made_by]);
        } else {
            table.row([digest, form, transfer, made_by]);
        }
    }
    table
}

/// `gzip` of `application/vnd.oci.image.layer.v1.tar+gzip`.
fn compression(media_type: &str, look: Look) -> String {
    let end = media_type.rsplit(['.', '+']).next().unwrap_or(media_type);
    look.tame(end)
}

fn of_files(out: &mut String, files: &FileTree, top: usize, look: Look) {
    let mut table = Table::new();
    for file in largest(files, top) {
        table.row([
            (None, bytes(file.size)),
            (Some(Paint::Faint), format!("layer {}", file.layer + 1)),
            (None, path(&file.path, look)),
        ]);
    }
    section(out, 2, "Largest files", &table, look);
    let mut table = Table::new();
    let all = wasted(files);
    for waste in all.iter().take(top) {
        let how = if waste.deleted { "deleted" } else { "replaced" };
        let layers = format!("layer {}, {how} in {}", waste.layer + 1, waste.by + 1);
        table.row([(None, bytes(waste.size)), (Some(Paint::Faint), layers), (None, path(&waste.path, look))]);
    }
    let title =
        format!("Wasted: {}, efficiency {:.1} %", bytes(files.wasted_size()), files.efficiency() * 100.0);
    let _ = writeln!(out, "  {}", look.paint(Paint::Faint, &title));
    out.push_str(&table.render(look, 4));
    if let Some(more) = all.len().checked_sub(top).filter(|more| *more > 0) {
        let _ = writeln!(out, "    and {more} more: `--top N` shows so many");
    }
}

fn section(out: &mut String, indent: usize, title: &str, table: &Table, look: Look) {
    if !table.is_empty() {
        let (breaks, title) = title.strip_prefix('\n').map_or(("", title), |title| ("\n", title));
        let _ = write!(
            out,
            "{breaks}{}{}\n{}",
            " ".repeat(indent),
            look.paint(Paint::Faint, title),
            table.render(look, indent + 2)
        );
    }
}

fn pairs(pairs: &IndexMap<String, String>, look: Look) -> Table {
    let mut table = Table::new();
    for (name, value) in pairs {
        table.row([(Some(Paint::Faint), look.tame(name)), (None, line(value, look))]);
    }
    table
}

fn configuration(image: &PlatformReport, look: Look) -> Table {
    let config = &image.config.config;
    let mut table = Table::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.row([(Some(Paint::Faint), name.to_owned()), (None, line(&value, look))]);
        }
    };
    let words = |words: &Option<Vec<String>>| words.as_deref().unwrap_or_default().join(" ");
    row("created", image.config.created.clone().unwrap_or_default());
    row("author", image.config.author.clone().unwrap_or_default());
    row("entrypoint", words(&config.entrypoint));
    row("cmd", words(&config.cmd));
    row("user", config.user.clone().unwrap_or_default());
    row("workdir", config.working_dir.clone().unwrap_or_default());
    row("ports", config.exposed_ports.keys().cloned().collect::<Vec<_>>().join(" "));
    row("volumes", config.volumes.keys().cloned().collect::<Vec<_>>().join(" "));
    row("stop signal", config.stop_signal.clone().unwrap_or_default());
    for variable in &config.env {
        row("env", variable.clone());
    }
    for (name, value) in &config.labels {
        row("label", format!("{name}={value}"));
    }
    table
}

/// A text of the image in one line, which steers no terminal.
fn line(text: &str, look: Look) -> String {
    look.tame(&text.replace(['\n', '\r'], " "))
}

/// The same as a JSON value: `schema/inspect.schema.json`.
#[must_use]
pub fn inspection_json(report: &ImageReport) -> Value {
    let platforms = report.platforms.iter().map(platform_json);
    let mut value = json!({
        "digest": report.descriptor.digest,
        "mediaType": report.descriptor.media_type,
        "annotations": report.annotations,
        "platforms": platforms.collect::<Vec<_>>(),
        "attached": report.referrers.iter().chain(&report.others).collect::<Vec<_>>(),
    });
    if !report.foreign.is_empty() {
        value["notRead"] = report.foreign.iter().map(|one| one.digest.as_str()).collect();
    }
    value
}

fn platform_json(image: &PlatformReport) -> Value {
    let layers = image.layers.iter().map(|layer| {
        let mut value = json!({
            "digest": layer.descriptor.digest,
            "mediaType": layer.descriptor.media_type,
            "diffId": layer.diff_id,
            "transferred": layer.descriptor.size,
        });
        if let Some(urls) = layer.descriptor.urls() {
            value["urls"] = json!(urls);
        }
        if let Some(size) = layer.size {
            value["size"] = json!(size);
        }
        if let Some(created_by) = &layer.created_by {
            value["createdBy"] = json!(created_by);
        }
        value
    });
    let mut value = json!({
        "platform": image.platform.to_string(),
        "manifest": image.manifest.digest,
        "annotations": image.annotations,
        "transferred": image.transferred(),
        "layers": layers.collect::<Vec<_>>(),
        "config": serde_json::to_value(&image.config).unwrap_or_default(),
    });
    if let Some(promised) = &image.promised {
        value["promised"] = json!(promised.to_string());
    }
    if let Some(files) = &image.files {
        let name = |name: &[u8]| format!("/{}", String::from_utf8_lossy(name));
        let largest = largest(files, LARGEST);
        let largest = largest
            .iter()
            .map(|file| json!({ "path": name(&file.path), "size": file.size, "layer": file.layer }));
        let wasted = wasted(files);
        let wasted = wasted.iter().map(|waste| {
            json!({
                "path": name(&waste.path),
                "size": waste.size,
                "layer": waste.layer,
                "by": waste.by,
                "deleted": waste.deleted,
            })
        });
        value["size"] = json!(files.size());
        value["wasted"] = json!(files.wasted_size());
        value["efficiency"] = json!(files.efficiency());
        value["largestFiles"] = largest.collect();
        value["wastedFiles"] = wasted.collect();
    }
    value
}

fn path(bytes: &[u8], look: Look) -> String {
    format!("/{}", line(&String::from_utf8_lossy(bytes), look))
}

#[cfg(test)]
mod tests;
