//! The language of Graphviz.

use std::fmt::Write;

use crate::plan::drawing::{Box, Drawing, Node};
use crate::plan::{NeedKind, Plan};

/// The plan as a directed graph for `dot`.
#[must_use]
pub fn dot(plan: &Plan) -> String {
    let drawing = Drawing::new(plan);
    let mut out = String::from("digraph plan {\n");
    out.push_str("  rankdir=LR;\n");
    out.push_str("  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=11, margin=\"0.16,0.08\"];\n");
    out.push_str("  edge [color=\"#8a8f98\", arrowsize=0.7];\n");
    for (at, node) in drawing.nodes.iter().enumerate() {
        let attributes = match node {
            Node::Step(step) => attributes(step),
            Node::Knot => "shape=point, width=0.07, color=\"#8a8f98\"".to_owned(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(out, "  n{at} [{attributes}];");
    }
    for (from, to, kind) in &drawing.edges {
        let style = match kind {
            NeedKind::Product => "solid",
            NeedKind::Success => "dashed",
            NeedKind::End => "dotted",
        };
        let head = if matches!(drawing.nodes.get(*to), Some(Node::Knot)) { ", arrowhead=none" } else { "" };
        let _ = writeln!(out, "  n{from} -> n{to} [style={style}{head}];");
    }
    out.push_str("}\n");
    out
}

fn attributes(step: &Box) -> String {
    let [fill, line, text] = step.kind.light();
    let label = if step.detail.is_empty() {
        quoted(&step.name)
    } else {
        // `\n` is a line break of dot, so it stands outside of what is escaped.
        format!("\"{}\\n{}\"", escaped(&step.name), escaped(&step.detail))
    };
    let width = if step.goal { ", penwidth=2" } else { "" };
    let style = if step.available { "" } else { ", style=\"rounded,filled,dashed\"" };
    let tip = quoted(&step.title.replace('\n', ": "));
    format!(
        "label={label}, tooltip={tip}, fillcolor=\"{fill}\", color=\"{line}\", fontcolor=\"{text}\"{width}{style}"
    )
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
