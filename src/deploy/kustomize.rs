//! The edit of an image in a kustomization.

use crate::deploy::Unfit;
use crate::deploy::value::{change, kind_of};
use crate::deploy::yaml::{Kind, Node, Splices, Tree, indent, line_end, lines_behind, spell, unshared};
use crate::diagnostic::nearest;

/// What a kustomization is to say of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin<'a> {
    /// The repository, without tag and digest.
    pub repository: &'a str,
    /// A tag that holds this image and never another, if there is one.
    pub tag: Option<&'a str>,
    /// Its digest: `sha256:…`.
    pub digest: &'a str,
    /// Whether the digest is said, even if the tag is.
    pub by_digest: bool,
}

/// Sets the entry of `images` with this `name`. The entry keeps its form: what has `newTag`
/// gets the tag, what has `digest` the digest, what has both gets both. Where there is no list,
/// or nothing in it, the entry is added. Nothing else changes.
///
/// # Errors
/// The list has other entries alone; the entry is written in a way that cannot be edited, or
/// is repeated elsewhere by an alias; or asks for a tag where there is none that stays; the text is not YAML.
pub fn set_image(text: &str, name: &str, pin: Pin<'_>) -> Result<String, Unfit> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = Tree::read(bare).map_err(|why| Unfit::new(format!("it is not YAML: {why}")))?;
    if tree.documents.len() > 1 {
        return Err(Unfit::new("it has several documents, and a kustomization is one".to_owned()));
    }
    let mut meant = tree.clone();
    let mut splices = Splices::default();
    let edit = Edit { text: bare, name, pin };
    match (tree.documents.first(), meant.documents.first_mut()) {
        (Some(document), Some(goal)) => {
            edit.document(document.end, &document.root, &mut goal.root, &mut splices)?;
            unshared(bare, document, goal)
                .map_err(|unfit| unfit.help("write out what stands there: an edit changes one entry"))?;
        }
        _ => return Err(Unfit::new("it is empty, and a kustomization is not".to_owned())),
    }
    let edited = splices.apply(bare, &meant).map_err(Unfit::new)?;
    Ok(format!("{}{edited}", &text[..text.len() - bare.len()]))
}

struct Edit<'a> {
    text: &'a str,
    name: &'a str,
    pin: Pin<'a>,
}

impl Edit<'_> {
    fn document(&self, end: usize, root: &Node, goal: &mut Node, splices: &mut Splices) -> Result<(), Unfit> {
        let Kind::Mapping(entries, flow) = &root.kind else {
            return Err(Unfit::new("it is no kustomization: it has no keys".to_owned()));
        };
        let Some(at) = root.position("images") else {
            self.add_list(end, (entries, *flow, root), goal, splices);
            return Ok(());
        };
        let (key, images) = &entries[at];
        let Some(images_goal) = goal.child_mut(at) else { return Ok(()) };
        match &images.kind {
            Kind::Sequence(items, _) if items.is_empty() => {
                self.fill_list(key, images, *flow, images_goal, splices);
                Ok(())
            }
            Kind::Scalar(..) if images.is_nothing() || matches!(images.text(), Some("null" | "~")) => {
                self.fill_list(key, images, *flow, images_goal, splices);
                Ok(())
            }
            Kind::Sequence(items, _) => {
                let mut found = false;
                for (at, item) in items.iter().enumerate() {
                    if item.get("name").and_then(Node::text) == Some(self.name) {
                        found = true;
                        let Some(goal) = images_goal.child_mut(at) else { continue };
                        self.entry(item, goal, splices)?;
                    }
                }
                if found { Ok(()) } else { Err(self.unknown(items)) }
            }
            _ => Err(Unfit::new("`images` is no list".to_owned())),
        }
    }

    fn unknown(&self, items: &[Node]) -> Unfit {
        let names: Vec<&str> = items.iter().filter_map(|item| item.get("name")?.text()).collect();
        let listed: Vec<_> = names.iter().take(12).map(|name| format!("`{name}`")).collect();
        let unfit =
            Unfit::new(format!("`images` has no entry for `{}`: it has {}", self.name, listed.join(", ")));
        match nearest(self.name, names.iter().copied()) {
            Some(meant) => unfit.help(format!("did you mean `image=\"{meant}\"`?")),
            None => unfit.help(format!("add `- name: {}` to `images`", self.name)),
        }
    }

    /// The fields of a new entry.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let Pin { repository, tag, digest, by_digest } = self.pin;
        let mut fields = vec![("name", self.name.to_owned())];
        if repository != self.name {
            fields.push(("newName", repository.to_owned()));
        }
        fields.extend(tag.map(|tag| ("newTag", tag.to_owned())));
        if by_digest || tag.is_none() {
            fields.push(("digest", digest.to_owned()));
        }
        fields
    }

    fn made(&self) -> Node {
        let made = self.fields().into_iter().map(|(key, value)| {
            let spelled = spell(&value, None);
            (Node::made(key), Node { kind: kind_of(&value, &spelled), ..Node::made(&value) })
        });
        Node { kind: Kind::Mapping(made.collect(), false), ..Node::made("") }
    }

    /// The lines of a new entry, with a dash before the first one.
    fn lines(&self, indent: usize) -> Vec<String> {
        let fields = self.fields().into_iter().enumerate();
        let lines = fields.map(|(at, (key, value))| {
            let lead = if at == 0 { "- " } else { "  " };
            format!("{:indent$}{lead}{key}: {}", "", spell(&value, None))
        });
        lines.collect()
    }

    /// A new entry in braces, in the quotes of JSON where that is what the file is.
    fn braces(&self, json: bool) -> String {
        let quote = |text: &str| if json { format!("\"{text}\"") } else { text.to_owned() };
        let value = |text: &str| if json { quote(text) } else { spell(text, None) };
        let fields = self.fields().into_iter().map(|(key, text)| format!("{}: {}", quote(key), value(&text)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }

    fn add_list(
        &self,
        end: usize,
        (entries, flow, root): (&[(Node, Node)], bool, &Node),
        goal: &mut Node,
        splices: &mut Splices,
    ) {
        if flow {
            let json = self.is_json(entries);
            let key = if json { "\"images\"" } else { "images" };
            let comma = if entries.is_empty() { "" } else { ", " };
            let at = entries.last().map_or(root.span.start + 1, |(_, value)| value.span.end);
            splices.put(at..at, format!("{comma}{key}: [{}]", self.braces(json)));
        } else {
            let column = entries.first().and_then(|(key, _)| indent(self.text, key)).unwrap_or(0);
            let mut lines = vec![format!("{:column$}images:", "")];
            lines.extend(self.lines(column));
            let line = line_end(self.text);
            let text = lines.join(line);
            let ended = self.text[..end].ends_with('\n');
            let text = if ended { format!("{text}{line}") } else { format!("{line}{text}") };
            splices.put(end..end, text);
        }
        if let Kind::Mapping(entries, _) = &mut goal.kind {
            let list = Node { kind: Kind::Sequence(vec![self.made()], false), ..Node::made("") };
            entries.push((Node::made("images"), list));
        }
    }

    fn is_json(&self, entries: &[(Node, Node)]) -> bool {
        let quoted = |key: &Node| self.text.get(key.span.start..).is_some_and(|rest| rest.starts_with('"'));
        entries.first().is_none_or(|(key, _)| quoted(key))
    }

    fn fill_list(&self, key: &Node, images: &Node, flow: bool, goal: &mut Node, splices: &mut Splices) {
        goal.kind = Kind::Sequence(vec![self.made()], false);
        let behind = &self.text[images.span.end.max(key.span.end)..];
        let line = behind.lines().next().unwrap_or_default();
        if flow
            || images.marked
            || !(images.span.is_empty() || line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            let json = self.text.get(key.span.start..).is_some_and(|rest| rest.starts_with('"'));
            splices.put(images.span.clone(), format!("[{}]", self.braces(json)));
            return;
        }
        let column = indent(self.text, key).unwrap_or(0);
        if !images.span.is_empty() {
            let lead = self.text[..images.span.start].chars().rev().take_while(|c| *c == ' ').count();
            splices.put(images.span.start - lead..images.span.end, "");
        }
        let (at, text) = lines_behind(self.text, key.span.end, &self.lines(column));
        splices.put(at..at, text);
    }

    fn entry(&self, item: &Node, goal: &mut Node, splices: &mut Splices) -> Result<(), Unfit> {
        let Pin { repository, tag, digest, by_digest } = self.pin;
        let wrong = |why: String| Unfit::new(format!("the entry of `{}`: {why}", self.name));
        if item.get("tagSuffix").is_some() {
            return Err(wrong("`tagSuffix` would make another tag of the one that is set".to_owned()));
        }
        if item.get("<<").is_some() {
            return Err(wrong(
                "`<<` takes fields from elsewhere, which an edit here does not see".to_owned(),
            ));
        }
        let has = |key: &str| item.get(key).is_some();
        let said = item.get("newName").and_then(Node::text).unwrap_or(self.name);
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        if said != repository || item.get("newName").is_some_and(|node| node.text().is_none()) {
            wanted.push(("newName", repository));
        }
        let (tagged, pinned) = (has("newTag"), has("digest"));
        let say_digest = pinned || by_digest || (tag.is_none() && !tagged);
        match tag {
            Some(tag) if tagged || !say_digest => wanted.push(("newTag", tag)),
            None if tagged && pinned => {
                return Err(wrong(
                    "no tag stays with this image, and it has both `newTag` and `digest`".to_owned(),
                )
                .help("remove `newTag` from it, or give the image a tag that never moves"));
            }
            // In the place of the tag, the digest says more.
            None if tagged && by_digest => {
                Self::rename(item, goal, ("newTag", "digest"), splices);
                let value = self.set(item, goal, "newTag", digest, splices);
                return self.rest(item, goal, &wanted, splices).and(value.map_err(wrong));
            }
            None if tagged => {
                return Err(wrong(
                    "it has `newTag`, and the stage gives this image no tag that stays with it".to_owned(),
                )
                .help(
                    "write `digest=#true` behind `image=…`, or a rule of `tags` with a version or a commit",
                ));
            }
            _ => {}
        }
        if say_digest {
            wanted.push(("digest", digest));
        }
        self.rest(item, goal, &wanted, splices)
    }

    fn rest(
        &self,
        item: &Node,
        goal: &mut Node,
        wanted: &[(&str, &str)],
        splices: &mut Splices,
    ) -> Result<(), Unfit> {
        let wrong = |why: String| Unfit::new(format!("the entry of `{}`: {why}", self.name));
        let mut new = Vec::new();
        for (key, value) in wanted {
            if item.get(key).is_some() {
                self.set(item, goal, key, value, splices).map_err(wrong)?;
            } else {
                new.push((*key, *value));
            }
        }
        if new.is_empty() { Ok(()) } else { self.insert(item, goal, &new, splices).map_err(wrong) }
    }

    fn set(
        &self,
        item: &Node,
        goal: &mut Node,
        key: &str,
        value: &str,
        splices: &mut Splices,
    ) -> Result<(), String> {
        let Some(at) = item.position(key) else { return Ok(()) };
        let (Some(target), Some(goal)) = (item.child(at), goal.child_mut(at)) else { return Ok(()) };
        change(self.text, (item, at, target), goal, value, splices).map_err(|why| format!("`{key}` {why}"))
    }

    /// Gives a key another name, in the place where it stands.
    fn rename(item: &Node, goal: &mut Node, (from, to): (&str, &str), splices: &mut Splices) {
        let (Kind::Mapping(entries, _), Kind::Mapping(goals, _), Some(at)) =
            (&item.kind, &mut goal.kind, item.position(from))
        else {
            return;
        };
        let (Some((key, _)), Some((goal, _))) = (entries.get(at), goals.get_mut(at)) else { return };
        splices.put(key.span.clone(), spell(to, Some(key)));
        goal.kind = Kind::Scalar(to.to_owned(), crate::deploy::yaml::Style::Plain);
    }

    /// Adds keys to an entry, behind its last one that is a single line.
    fn insert(
        &self,
        item: &Node,
        goal: &mut Node,
        new: &[(&str, &str)],
        splices: &mut Splices,
    ) -> Result<(), String> {
        let Kind::Mapping(entries, flow) = &item.kind else { return Ok(()) };
        let Some((first, _)) = entries.first() else { return Ok(()) };
        let name = item.position("name").unwrap_or(0);
        let behind = entries
            .iter()
            .rposition(|(key, _)| matches!(key.text(), Some("name" | "newName" | "newTag" | "digest")));
        let at = behind.unwrap_or(name);
        let (_, last) = &entries[at];
        if *flow {
            let json = self.is_json(entries);
            let quote = |text: &str| if json { format!("\"{text}\"") } else { text.to_owned() };
            let text = new.iter().map(|(key, value)| {
                let value = if json { quote(value) } else { spell(value, None) };
                format!(", {}: {value}", quote(key))
            });
            splices.put(last.span.end..last.span.end, text.collect::<String>());
        } else {
            let column = indent(self.text, first).ok_or("its keys do not begin lines")?;
            let lines: Vec<String> = new
                .iter()
                .map(|(key, value)| format!("{:column$}{key}: {}", "", spell(value, None)))
                .collect();
            let (place, text) = lines_behind(self.text, last.span.end, &lines);
            splices.put(place..place, text);
        }
        if let Kind::Mapping(entries, _) = &mut goal.kind {
            for (offset, (key, value)) in new.iter().enumerate() {
                let json = *flow && spell(value, None) != **value;
                let kind = if json { Node::made(value).kind } else { kind_of(value, &spell(value, None)) };
                entries.insert(at + 1 + offset, (Node::made(key), Node { kind, ..Node::made(value) }));
            }
        }
        Ok(())
    }
}
