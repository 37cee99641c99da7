//! The fields of one rule by name, each read with its place.
//!
//! Knows how Azure lays a rule out (`properties` nested or flattened, a singular field beside its plural, unused
//! fields empty or null) and nothing of what the fields mean. Whatever is wrong goes to the findings of the file.

use std::collections::HashSet;

use super::document::{Field, Node, Position};
use super::error::{Findings, Refusal, Scope};

/// What a singular field and its plural hold together.
pub(super) enum Given<'a> {
    /// Neither, or both empty.
    Nothing,
    /// One value: the singular field's name, its text and place.
    One(&'static str, &'a str, Position),
    /// The plural field: its place, and text and place of each element.
    List(Position, Vec<(&'a str, Position)>),
}

/// The fields of one rule, and where to say what is wrong with them.
pub(super) struct RuleFields<'a, 'f> {
    /// The rule's own fields and those of its `properties`, without nulls.
    pub(super) fields: Vec<&'a Field>,
    /// Where the rule starts.
    pub(super) position: Position,
    /// Whose fields these are.
    pub(super) scope: Scope,
    /// What is wrong with the file.
    pub(super) findings: &'f mut Findings,
}

impl<'a, 'f> RuleFields<'a, 'f> {
    /// Gathers the fields of a rule.
    pub(super) fn of(node: &'a Node, scope: Scope, findings: &'f mut Findings) -> Option<Self> {
        let mut rule = Self { fields: Vec::new(), position: node.position, scope, findings };
        rule.collect(node)?;
        Some(rule)
    }

    /// Notes an error in a field.
    pub(super) fn refuse(&mut self, field: &str, position: Position, refusal: Refusal) {
        self.findings.refuse(&self.scope, Some(field), position, refusal);
    }

    /// Gathers the rule's own fields and those of `properties`, which Azure writes either way.
    fn collect(&mut self, node: &'a Node) -> Option<()> {
        let Some(fields) = node.fields() else {
            let refusal = Refusal::new(format!("a rule must be an object, not {}", node.kind()));
            self.findings.refuse(&self.scope, None, node.position, refusal);
            return None;
        };
        let is_given = |field: &&Field| !field.node.is_null() && !field.is_named("properties");
        self.fields = fields.iter().filter(is_given).collect();
        let Some(properties) = node.get("properties") else { return Some(()) };
        let Some(inner) = properties.fields() else {
            let refusal = Refusal::new(format!("must be an object, not {}", properties.kind()));
            self.refuse("properties", properties.position, refusal);
            return None;
        };
        let outer: HashSet<String> =
            self.fields.iter().map(|field| field.key.to_ascii_lowercase()).collect();
        for field in inner.iter().filter(is_given) {
            if outer.contains(&field.key.to_ascii_lowercase()) {
                let refusal = Refusal::new("stands in the rule and in its `properties`");
                self.refuse(&field.key, field.key_position, refusal);
            } else {
                self.fields.push(field);
            }
        }
        Some(())
    }

    /// Returns a field by its name; a null counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.fields.iter().find(|field| field.is_named(name)).map(|field| &field.node)
    }

    /// Returns where a field's value starts, or the rule where there is no such field.
    pub(super) fn position_of(&self, name: &str) -> Position {
        self.get(name).map_or(self.position, |node| node.position)
    }

    /// Returns a text field; an empty text counts as absent, as Azure writes unused fields.
    pub(super) fn text(&mut self, name: &str) -> Option<(&'a str, Position)> {
        let node = self.get(name)?;
        match node.text() {
            Some("") => None,
            Some(text) => Some((text, node.position)),
            None => {
                let refusal = Refusal::new(format!("must be a text, not {}", node.kind()));
                let refusal = match node.elements() {
                    Some(_) => {
                        refusal.hint("only the plural fields of ports and addresses take a list")
                    }
                    None => refusal,
                };
                self.refuse(name, node.position, refusal);
                None
            }
        }
    }

    /// Notes every field that is none of a kind of rule but resembles one: it would silently widen the rule.
    pub(super) fn refuse_fields_outside(&mut self, known: &[&str], what: &str) {
        for field in self.fields.clone() {
            if known.iter().any(|known| field.is_named(known)) {
                continue;
            }
            if let Some(nearest) = super::name::nearest(&field.key, known.iter().copied()) {
                let refusal = Refusal::new(format!("is not a field of {what}"))
                    .hint(format!("did you mean `{nearest}`?"));
                self.refuse(&field.key, field.key_position, refusal);
            } else {
                let message = "a field this program does not know; it is not used".to_owned();
                self.findings.warn(&self.scope, Some(&field.key), field.key_position, message);
            }
        }
    }

    /// Reads a field that every rule must have.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let before = self.findings.refused();
        let Some((text, position)) = self.text(name) else {
            if self.findings.refused() == before {
                self.refuse(name, self.position, Refusal::new("is missing"));
            }
            return None;
        };
        read(text).map_err(|refusal| self.refuse(name, position, refusal)).ok()
    }

    /// Reads a singular field and its plural. An empty list beside a value means the value; both together pass only
    /// where they say the same, as effective rules do.
    pub(super) fn given(
        &mut self,
        singular: &'static str,
        plural: &'static str,
    ) -> Option<Given<'a>> {
        let before = self.findings.refused();
        let one = self.text(singular);
        let list = self.list(plural);
        if self.findings.refused() > before {
            return None;
        }
        match (one, list) {
            (None, None) => Some(Given::Nothing),
            (Some((text, position)), None) => Some(Given::One(singular, text, position)),
            (None, Some((position, list))) => Some(Given::List(position, list)),
            (Some((text, position)), Some((_, list))) => match list.as_slice() {
                [(same, _)] if same.eq_ignore_ascii_case(text) => {
                    Some(Given::One(singular, text, position))
                }
                _ => {
                    let message = format!("says something else than `{plural}`");
                    let refusal = Refusal::new(message).hint("give one of the two");
                    self.refuse(singular, position, refusal);
                    None
                }
            },
        }
    }

    /// Returns the texts of a plural field; `None` where it is absent or empty.
    pub(super) fn list(
        &mut self,
        name: &'static str,
    ) -> Option<(Position, Vec<(&'a str, Position)>)> {
        let node = self.get(name)?;
        let Some(elements) = node.elements() else {
            let refusal = Refusal::new(format!("must be a list, not {}", node.kind()));
            self.refuse(
                name,
                node.position,
                refusal.hint("one value belongs into the singular field"),
            );
            return None;
        };
        let mut texts = Vec::with_capacity(elements.len());
        for element in elements {
            if let Some(text) = element.text() {
                texts.push((text, element.position));
            } else {
                let message = format!("must hold texts, not {}", element.kind());
                self.refuse(name, element.position, Refusal::new(message));
            }
        }
        (!elements.is_empty()).then_some((node.position, texts))
    }

    /// Reads every element of a plural field, so that each bad one is reported.
    pub(super) fn each<T>(
        &mut self,
        plural: &'static str,
        list: &[(&str, Position)],
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<Vec<T>> {
        let mut values = Vec::with_capacity(list.len());
        for (text, position) in list {
            match read(text) {
                Ok(value) => values.push(value),
                Err(refusal) => self.refuse(plural, *position, refusal),
            }
        }
        (values.len() == list.len()).then_some(values)
    }

    /// Notes that neither a singular field nor its plural is given.
    pub(super) fn refuse_missing(&mut self, singular: &'static str, plural: &'static str) {
        let refusal = Refusal::new("is missing").hint(format!("give it or `{plural}`"));
        self.refuse(singular, self.position, refusal);
    }
}
