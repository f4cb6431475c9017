//! Images that are assembled from files.

use crate::config::decode::Decoder;
use crate::config::decode::names::Noun;
use crate::config::decode::read::{
    argument, child, children, form, number, property, string, text, word, words,
};
use crate::config::{Assemble, AssembleLayer, Base, Copy, Part, Template, value};
use crate::diagnostic::{Code, Problem, Span, Spanned};
use crate::oci::{Digest, LayerCompression, Tag};
use crate::syntax::{Node, Value, ValueKind};

impl Decoder<'_> {
    pub(super) fn assemble(&mut self, node: &Node) -> Option<Assemble> {
        let from = property(node, "from").and_then(|value| self.base(value));
        let compression = self.compression(node, LayerCompression::default());
        let layers = children(node, "layer").map(|layer| self.layer(layer, compression)).collect();
        let workdir = word(node, "workdir").map(|value| self.template(value));
        let volumes: Vec<Template> = words(node, "volume").map(|value| self.template(value)).collect();
        for template in workdir.iter().chain(&volumes) {
            self.check_absolute(template);
        }
        let assemble = Assemble {
            layers,
            entrypoint: child(node, "entrypoint").map(|words| self.templates(words)),
            cmd: child(node, "cmd").map(|words| self.templates(words)),
            user: word(node, "user").map(|value| self.template(value)),
            workdir,
            expose: words(node, "expose").filter_map(exposed).collect(),
            volumes,
            env: self.env(node),
            stop_signal: string(word(node, "stop-signal")),
            span: node.header,
            from: from?,
        };
        Some(assemble)
    }

    /// The templates of a node's arguments.
    pub(super) fn templates(&mut self, node: &Node) -> Vec<Template> {
        node.arguments.iter().map(|value| self.template(value)).collect()
    }

    fn base(&mut self, value: &Value) -> Option<Spanned<Base>> {
        let text = value.as_str()?;
        let base = if text == "scratch" {
            Base::Scratch
        } else if let Some(name) = text.strip_prefix("image:") {
            let (_, name) = self.named(&[Noun::Image], name, value.part(6..text.len()))?;
            Base::Image(name)
        } else if let Some(rest) = text.strip_prefix("oci:") {
            self.layout_base(value, rest)?
        } else {
            Base::Reference(self.reference(value))
        };
        Some(Spanned::new(base, value.span))
    }

    /// `DIR`, `DIR:TAG`, or `DIR@DIGEST`, behind `oci:`.
    fn layout_base(&mut self, value: &Value, rest: &str) -> Option<Base> {
        let place = |from: usize| value.part(4 + from..4 + rest.len());
        let (dir, name) = match (rest.split_once('@'), rest.rsplit_once(':')) {
            (Some((dir, digest)), _) => {
                if let Err(why) = digest.parse::<Digest>() {
                    let problem = Problem::new(Code::InvalidReference, format!("`{digest}` is not a digest"))
                        .label(place(dir.len() + 1), why.to_string())
                        .help("write `oci:DIR@sha256:…`");
                    self.problems.push(problem);
                }
                (dir, Some(digest))
            }
            (None, Some((dir, tag))) => {
                if let Err(why) = tag.parse::<Tag>() {
                    let problem = Problem::new(Code::InvalidReference, format!("`{tag}` is not a tag"))
                        .label(place(dir.len() + 1), why.to_string())
                        .help("write `oci:DIR:TAG`");
                    self.problems.push(problem);
                }
                (dir, Some(tag))
            }
            (None, None) => (rest, None),
        };
        let path = self.joined(dir, value.part(4..4 + dir.len()))?;
        Some(Base::Layout { path, name: name.map(str::to_owned) })
    }

    /// How layers are compressed that a node says something of; `default` where it
    /// does not.
    fn compression(&mut self, node: &Node, default: LayerCompression) -> LayerCompression {
        let usual = match property(node, "compression").and_then(Value::as_str) {
            Some("zstd") if !matches!(default, LayerCompression::Zstd(_)) => LayerCompression::ZSTD,
            Some("gzip") if !matches!(default, LayerCompression::Gzip(_)) => LayerCompression::GZIP,
            _ => default,
        };
        let Some(value) = property(node, "compression-level") else { return usual };
        let Some(level) = number(Some(value)) else { return usual };
        match usual {
            LayerCompression::Zstd(_) => LayerCompression::Zstd(level),
            LayerCompression::Gzip(_) if level <= LayerCompression::MAX_GZIP => LayerCompression::Gzip(level),
            LayerCompression::Gzip(_) => {
                let title = format!("{level} is not a level of gzip");
                let problem = Problem::new(Code::InvalidValue, title)
                    .label(value.span, format!("from 1 to {}", LayerCompression::MAX_GZIP))
                    .help("write `compression-level=9`, or compress with `compression=\"zstd\"`");
                self.problems.push(problem);
                usual
            }
        }
    }

    fn layer(&mut self, node: &Node, default: LayerCompression) -> AssembleLayer {
        let removes: Vec<Template> = words(node, "remove").map(|value| self.template(value)).collect();
        for template in &removes {
            self.check_absolute(template);
        }
        AssembleLayer {
            compression: self.compression(node, default),
            removes,
            copies: children(node, "copy").filter_map(|copy| self.copy(copy)).collect(),
            span: node.header,
        }
    }

    fn copy(&mut self, node: &Node) -> Option<Copy> {
        let from = argument(node, 0).map(|value| self.template(value));
        let to = argument(node, 1).map(|value| self.template(value));
        if let Some(template) = &from {
            self.check_source(template);
        }
        if let Some(template) = &to {
            self.check_absolute(template);
        }
        let (uid, gid) = form(property(node, "owner"), value::owner).unwrap_or((0, 0));
        let exclude = property(node, "exclude").into_iter().chain(words(node, "exclude"));
        Some(Copy {
            mode: form(property(node, "mode"), value::mode),
            uid,
            gid,
            exclude: exclude.filter_map(text).collect(),
            span: node.header,
            from: from?,
            to: to?,
        })
    }

    /// A source whose text is known lies in the project.
    fn check_source(&mut self, template: &Template) {
        let Some(text) = template.literal() else { return };
        self.joined(&text, template.span);
    }

    /// A path in an image starts at its root, and stays below it.
    fn check_absolute(&mut self, template: &Template) {
        let leads = match template.parts.first() {
            Some(Part::Text(text)) => text.starts_with('/'),
            Some(Part::Field(_)) => true,
            None => false,
        };
        if !leads {
            self.problems.push(not_absolute(template.span, &template.to_string()));
        } else if template.literal().is_some_and(|text| text.split('/').any(|part| part == "..")) {
            let problem = Problem::new(Code::InvalidValue, format!("`{template}` has `..` in it"))
                .label(template.span, "a path in an image is written as it is")
                .help("write the path without `..`");
            self.problems.push(problem);
        }
    }
}

fn not_absolute(span: Span, text: &str) -> Problem {
    Problem::new(Code::InvalidValue, format!("`{text}` is not an absolute path"))
        .label(span, "a path in an image starts with `/`")
        .help(format!("write `/{}`", text.trim_start_matches("./")))
}

/// `8080` as `8080/tcp`.
fn exposed(value: &Value) -> Option<String> {
    let text = match &value.kind {
        ValueKind::Integer(number) => number.to_string(),
        ValueKind::String(text) => text.clone(),
        _ => return None,
    };
    value::port(&text).ok().map(|(number, protocol)| format!("{number}/{protocol}"))
}
