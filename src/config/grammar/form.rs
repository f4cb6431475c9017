//! What a node, an argument, and a property may be.

use crate::config::grammar::Kind;

/// What a node of one name may hold at one place.
#[derive(Clone, Copy, Debug)]
pub struct NodeForm {
    /// Its name; empty where the file chooses it.
    pub name: &'static str,
    /// Where nodes of one name differ by their first argument: that argument.
    pub variant: Option<&'static str>,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// What else there is to know, in Markdown.
    pub notes: &'static str,
    /// A whole document that shows it; empty for none.
    pub example: &'static str,
    /// Its arguments, in order.
    pub arguments: &'static [ArgumentForm],
    /// Its properties.
    pub properties: &'static [PropertyForm],
    /// Properties whose names the file chooses.
    pub open: Option<PropertyForm>,
    /// Its children.
    pub children: &'static [NodeForm],
    /// Whether there may be several beside each other.
    pub repeatable: bool,
    /// Whether there must be one.
    pub required: bool,
    /// Properties and children of which there must be exactly one.
    pub one_of: &'static [&'static str],
    /// Properties and children of which there must be at least one.
    pub some_of: &'static [&'static str],
}

impl NodeForm {
    /// A node without arguments, properties, and children, at most once.
    #[must_use]
    pub const fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            variant: None,
            about,
            notes: "",
            example: "",
            arguments: &[],
            properties: &[],
            open: None,
            children: &[],
            repeatable: false,
            required: false,
            one_of: &[],
            some_of: &[],
        }
    }

    /// With these arguments.
    #[must_use]
    pub const fn arguments(mut self, arguments: &'static [ArgumentForm]) -> Self {
        self.arguments = arguments;
        self
    }

    /// With these properties.
    #[must_use]
    pub const fn properties(mut self, properties: &'static [PropertyForm]) -> Self {
        self.properties = properties;
        self
    }

    /// With properties of any name.
    #[must_use]
    pub const fn open(mut self, any: PropertyForm) -> Self {
        self.open = Some(any);
        self
    }

    /// With these children.
    #[must_use]
    pub const fn children(mut self, children: &'static [Self]) -> Self {
        self.children = children;
        self
    }

    /// With further words in the reference.
    #[must_use]
    pub const fn notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// With a document that shows it.
    #[must_use]
    pub const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// As one of several nodes of its name, told by the first argument.
    #[must_use]
    pub const fn variant(mut self, first: &'static str) -> Self {
        self.variant = Some(first);
        self
    }

    /// As often as wanted.
    #[must_use]
    pub const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// At least once.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With exactly one of these properties and children.
    #[must_use]
    pub const fn one_of(mut self, names: &'static [&'static str]) -> Self {
        self.one_of = names;
        self
    }

    /// With at least one of these properties and children.
    #[must_use]
    pub const fn some_of(mut self, names: &'static [&'static str]) -> Self {
        self.some_of = names;
        self
    }

    /// The property of this name, or the form of any name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&PropertyForm> {
        self.properties.iter().find(|form| form.name == name).or(self.open.as_ref())
    }

    /// How it is written: `copy FROM TO mode=… owner=…`.
    #[must_use]
    pub fn usage(&self) -> String {
        let mut usage = if self.name.is_empty() { "NAME".to_owned() } else { self.name.to_owned() };
        for (index, form) in self.arguments.iter().enumerate() {
            let word = match self.variant {
                Some(first) if index == 0 => format!("{first:?}"),
                _ => form.placeholder(),
            };
            usage = match form.count {
                Count::One => format!("{usage} {word}"),
                Count::Optional => format!("{usage} [{word}]"),
                Count::Many => format!("{usage} {word}…"),
                Count::Any => format!("{usage} [{word}…]"),
            };
        }
        for form in self.properties {
            let word = format!("{}={}", form.name, form.kind.placeholder());
            usage = if form.required { format!("{usage} {word}") } else { format!("{usage} [{word}]") };
        }
        if let Some(form) = &self.open {
            usage = format!("{usage} {}={}…", form.name, form.kind.placeholder());
        }
        if self.children.is_empty() { usage } else { format!("{usage} {{ … }}") }
    }
}

/// How many arguments of one form there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly one.
    One,
    /// One or none.
    Optional,
    /// One or more; only the last form of a node.
    Many,
    /// Any number; only the last form of a node.
    Any,
}

/// An argument of a node.
#[derive(Clone, Copy, Debug)]
pub struct ArgumentForm {
    /// What it is called in the reference and in problems.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// How many there are.
    pub count: Count,
    /// What it says, in one sentence; empty where its name says it.
    pub about: &'static str,
    /// What holds where it is not given; empty for nothing.
    pub default: &'static str,
}

impl ArgumentForm {
    /// Exactly one.
    #[must_use]
    pub const fn one(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, count: Count::One, about, default: "" }
    }

    /// One or more.
    #[must_use]
    pub const fn many(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, count: Count::Many, about, default: "" }
    }

    /// Any number.
    #[must_use]
    pub const fn any(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, count: Count::Any, about, default: "" }
    }

    /// One or none.
    #[must_use]
    pub const fn optional(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        about: &'static str,
    ) -> Self {
        Self { name, kind, count: Count::Optional, about, default }
    }

    fn placeholder(&self) -> String {
        self.name.to_uppercase().replace(' ', "-")
    }
}

/// A property of a node.
#[derive(Clone, Copy, Debug)]
pub struct PropertyForm {
    /// Its name; for a property of any name, what that name is, in capitals.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Whether it must be given.
    pub required: bool,
    /// What it says, in one sentence.
    pub about: &'static str,
    /// What holds where it is not given; empty for nothing.
    pub default: &'static str,
}

impl PropertyForm {
    /// One that may be left out.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, required: false, about, default: "" }
    }

    /// One that must be given.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// One with a default.
    #[must_use]
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}
