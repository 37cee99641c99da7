//! The parameters, variables and copy loops that are in force at a place of a template, and what an expression there
//! comes to.
//!
//! Only what follows from the text is resolved. Everything else is named by the innermost call that needs the
//! deployment itself: `reference(...)`, `uniqueString(...)`, a parameter without a value. Work is bounded: templates
//! can multiply texts and lists.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::expression::{self, Expression};
use super::functions;
use crate::nsg::load::document::{Field, Node, Position, Value};
use crate::nsg::load::error::shown;

/// The deepest nesting of values and calls, also through variables that name one another.
const MAX_DEPTH: usize = 128;
/// The most copies that one loop makes, as Azure has it.
const MAX_COPIES: i64 = 800;

/// How the reason ends where a parameter has no value.
pub(super) const NO_DEFAULT: &str = "has no default value";

/// Why a place of a template can not be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unresolved {
    /// What is in the way.
    pub(super) message: String,
    /// The path below the value that was asked for: `.properties.priority`.
    pub(super) path: String,
    /// Where it stands in the text.
    pub(super) position: Position,
}

/// How much may still be computed; shared by all scopes of a template.
pub(super) struct Budget {
    left: Cell<usize>,
    depth: Cell<usize>,
}

impl Budget {
    /// The work that one template may cost, in values and in blocks of 64 bytes of text.
    pub(super) fn new() -> Self {
        Self { left: Cell::new(4_000_000), depth: Cell::new(0) }
    }

    fn spend(&self, amount: usize) -> Result<(), String> {
        let left = self.left.get().checked_sub(amount);
        self.left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| "the template multiplies into too many values".to_owned())
    }

    /// Does work one level deeper.
    fn deeper<T>(&self, work: impl FnOnce() -> T) -> Result<T, String> {
        self.spend(1)?;
        let depth = self.depth.get();
        if depth >= MAX_DEPTH {
            return Err("names lead to one another without an end".to_owned());
        }
        self.depth.set(depth + 1);
        let done = work();
        self.depth.set(depth);
        Ok(done)
    }
}

/// One turn of a copy loop.
#[derive(Clone)]
struct Turn {
    name: String,
    index: i64,
}

/// What names mean at a place of a template.
pub(super) struct Scope<'t> {
    given: HashMap<String, Rc<Node>>,
    declared: Option<&'t Node>,
    variables: Option<&'t Node>,
    turns: RefCell<Vec<Turn>>,
    resolved: RefCell<HashMap<(&'static str, String), Rc<Node>>>,
    budget: &'t Budget,
}

/// What an expression comes to, or what is in the way.
pub(super) type Outcome = Result<Rc<Node>, String>;

impl<'t> Scope<'t> {
    /// Makes the scope of a template from its own text and the parameter values it is given.
    pub(super) fn new(
        template: &'t Node,
        given: HashMap<String, Rc<Node>>,
        budget: &'t Budget,
    ) -> Self {
        Self {
            given,
            declared: template.get("parameters"),
            variables: template.get("variables"),
            turns: RefCell::default(),
            resolved: RefCell::default(),
            budget,
        }
    }

    /// Resolves every expression in a value.
    pub(super) fn resolve(&self, node: &Node) -> Result<Rc<Node>, Unresolved> {
        let work = || match &node.value {
            Value::String(text) => self.text(text, node.position),
            Value::Array(elements) => {
                let mut resolved = Vec::with_capacity(elements.len());
                for (index, element) in elements.iter().enumerate() {
                    let element =
                        self.resolve(element).map_err(|it| it.under(&format!("[{index}]")))?;
                    resolved.push(Rc::unwrap_or_clone(element));
                }
                Ok(node_at(node.position, Value::Array(resolved)))
            }
            Value::Object(fields) => self.object(node.position, fields),
            _ => Ok(Rc::new(node.clone())),
        };
        let done = self.budget.deeper(work);
        done.unwrap_or_else(|message| Err(Unresolved::at(node.position, message)))
    }

    fn text(&self, text: &str, position: Position) -> Result<Rc<Node>, Unresolved> {
        let Some(inner) = expression::inside_brackets(text) else {
            let literal = if text.starts_with("[[") { text.get(1..).unwrap_or(text) } else { text };
            return Ok(node_at(position, Value::String(literal.into())));
        };
        let fail = |message: String| Unresolved::at(position, message);
        let Some(expression) = expression::parse(inner) else {
            return Err(fail(format!("`{}` is not an expression", shown(text))));
        };
        let node = self.evaluate(&expression, position).map_err(fail)?;
        self.budget.spend(functions::size(&node.value)).map_err(fail)?;
        Ok(node_at(position, node.value.clone()))
    }

    /// Resolves an object and the copy loops in it: `"copy": [{"name", "count", "input"}]` becomes a list `name`.
    fn object(&self, position: Position, fields: &[Field]) -> Result<Rc<Node>, Unresolved> {
        let mut resolved = Vec::with_capacity(fields.len());
        for field in fields {
            let path = format!(".{}", shown(&field.key));
            if field.is_named("copy")
                && let Some(loops) = field.node.elements()
            {
                for (index, one) in loops.iter().enumerate() {
                    let under = format!("{path}[{index}]");
                    resolved.push(self.property_loop(one).map_err(|it| it.under(&under))?);
                }
                continue;
            }
            let node = match self.resolve(&field.node) {
                Ok(node) => node,
                // A description says nothing of packets.
                Err(_) if field.is_named("description") => continue,
                Err(unresolved) => return Err(unresolved.under(&path)),
            };
            resolved.push(Field { node: Rc::unwrap_or_clone(node), ..empty_field(field) });
        }
        Ok(node_at(position, Value::Object(resolved)))
    }

    /// Runs a loop that makes the elements of one field.
    fn property_loop(&self, node: &Node) -> Result<Field, Unresolved> {
        let missing = |what| Unresolved::at(node.position, format!("a copy loop without `{what}`"));
        let name = node.get("name").and_then(Node::text).ok_or_else(|| missing("name"))?;
        let input = node.get("input").ok_or_else(|| missing("input"))?;
        let mut elements = Vec::new();
        self.each_turn(node, |_| {
            elements
                .push(Rc::unwrap_or_clone(self.resolve(input).map_err(|it| it.under(".input"))?));
            Ok(())
        })?;
        let node = Node { position: input.position, value: Value::Array(elements) };
        Ok(Field { key: name.into(), key_position: node.position, node })
    }

    /// Does the work once for each turn of a loop `{"name", "count"}`.
    pub(super) fn each_turn(
        &self,
        copy: &Node,
        mut work: impl FnMut(i64) -> Result<(), Unresolved>,
    ) -> Result<(), Unresolved> {
        let at = |message: String| Unresolved::at(copy.position, message);
        let name = copy.get("name").and_then(Node::text).unwrap_or_default().to_ascii_lowercase();
        let count =
            copy.get("count").ok_or_else(|| at("a copy loop without `count`".to_owned()))?;
        let count = self.resolve(count).map_err(|it| it.under(".count"))?;
        let count: i64 = count
            .text()
            .and_then(|text| text.parse().ok())
            .filter(|count| (0..=MAX_COPIES).contains(count))
            .ok_or_else(|| at(format!("`count` is not a number from 0 to {MAX_COPIES}")))?;
        for index in 0..count {
            self.turns.borrow_mut().push(Turn { name: name.clone(), index });
            let done = work(index);
            self.turns.borrow_mut().pop();
            done?;
        }
        Ok(())
    }

    /// Works an expression out.
    fn evaluate(&self, expression: &Expression, at: Position) -> Outcome {
        self.budget.deeper(|| self.evaluate_one(expression, at))?
    }

    fn evaluate_one(&self, expression: &Expression, at: Position) -> Outcome {
        match expression {
            Expression::Text(text) => Ok(node_at(at, Value::String(text.as_str().into()))),
            Expression::Integer(number) => Ok(integer(at, *number)),
            Expression::Member(base, name) => {
                let base = self.evaluate(base, at)?;
                let member = base.get(name);
                self.part(member.ok_or_else(|| format!("there is no member `{}`", shown(name)))?)
            }
            Expression::Index(base, index) => {
                let base = self.evaluate(base, at)?;
                let index = self.evaluate(index, at)?;
                let text = index.text().unwrap_or_default();
                let element = match base.elements() {
                    Some(elements) => {
                        text.parse().ok().and_then(|index: usize| elements.get(index))
                    }
                    None => base.get(text),
                };
                self.part(element.ok_or_else(|| format!("there is no element `{}`", shown(text)))?)
            }
            Expression::Call(name, arguments) => self.call(name, arguments, at),
        }
    }

    fn part(&self, part: &Node) -> Outcome {
        self.budget.spend(functions::size(&part.value))?;
        Ok(Rc::new(part.clone()))
    }

    fn call(&self, name: &str, arguments: &[Expression], at: Position) -> Outcome {
        let evaluate = |argument: &Expression| self.evaluate(argument, at);
        match (name.to_ascii_lowercase().as_str(), arguments) {
            ("parameters", [name]) => self.parameter(evaluate(name)?.text().unwrap_or_default()),
            ("variables", [name]) => self.variable(evaluate(name)?.text().unwrap_or_default()),
            ("copyindex", arguments) => self.copy_index(arguments, at),
            // Only the branch that counts is looked at.
            ("if", [condition, then, otherwise]) => match evaluate(condition)?.value {
                Value::Bool(true) => evaluate(then),
                Value::Bool(false) => evaluate(otherwise),
                _ => Err("`if` needs true or false".to_owned()),
            },
            (function, arguments) => {
                let values = arguments.iter().map(evaluate).collect::<Result<Vec<_>, _>>();
                let values = match values {
                    Ok(values) => values,
                    // What the deployment alone knows is the reason, whatever its arguments are.
                    Err(_) if !functions::is_known(function) => return Err(unknown(name)),
                    Err(error) => return Err(error),
                };
                let value = functions::call(function, &values).ok_or_else(|| unknown(name))??;
                self.budget.spend(functions::size(&value))?;
                Ok(node_at(at, value))
            }
        }
    }

    fn parameter(&self, name: &str) -> Outcome {
        if let Some(given) = self.given.get(&name.to_ascii_lowercase()) {
            return Ok(Rc::clone(given));
        }
        let declared = self.declared.and_then(|declared| declared.get(name));
        let declared =
            declared.ok_or_else(|| format!("there is no parameter `{}`", shown(name)))?;
        let default = declared
            .get("defaultValue")
            .ok_or_else(|| format!("`parameters('{}')` {NO_DEFAULT}", shown(name)))?;
        self.named("parameters", name, default)
    }

    fn variable(&self, name: &str) -> Outcome {
        let variables = self.variables;
        if let Some(variable) = variables.and_then(|variables| variables.get(name)) {
            return self.named("variables", name, variable);
        }
        let loops = variables.and_then(|variables| variables.get("copy")).and_then(Node::elements);
        let is_named = |one: &&Node| {
            one.get("name").and_then(Node::text).is_some_and(|it| it.eq_ignore_ascii_case(name))
        };
        let found = loops.unwrap_or_default().iter().find(is_named);
        let found = found.ok_or_else(|| format!("there is no variable `{}`", shown(name)))?;
        self.cached("variables", name, || {
            Ok(Rc::new(self.property_loop(found).map_err(|it| it.message)?.node))
        })
    }

    fn named(&self, kind: &'static str, name: &str, node: &Node) -> Outcome {
        self.cached(kind, name, || self.resolve(node).map_err(|unresolved| unresolved.message))
    }

    fn cached(&self, kind: &'static str, name: &str, work: impl FnOnce() -> Outcome) -> Outcome {
        let key = (kind, name.to_ascii_lowercase());
        if let Some(known) = self.resolved.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        // A parameter or variable means the same at every place, also inside of loops.
        let turns = self.turns.take();
        let node = work();
        self.turns.replace(turns);
        let node = node?;
        self.resolved.borrow_mut().insert(key, Rc::clone(&node));
        Ok(node)
    }

    /// `copyIndex()`, `copyIndex(offset)`, `copyIndex('loop')` or `copyIndex('loop', offset)`.
    fn copy_index(&self, arguments: &[Expression], at: Position) -> Outcome {
        let values =
            arguments.iter().map(|it| self.evaluate(it, at)).collect::<Result<Vec<_>, _>>()?;
        let (mut name, mut offset) = (None, 0);
        for value in &values {
            match &value.value {
                Value::String(text) => name = Some(text.to_ascii_lowercase()),
                _ => offset = value.text().and_then(|text| text.parse().ok()).unwrap_or(0),
            }
        }
        let turns = self.turns.borrow();
        let turn =
            turns.iter().rev().find(|turn| name.as_ref().is_none_or(|name| *name == turn.name));
        let turn = turn.ok_or_else(|| "`copyIndex()` stands outside of its loop".to_owned())?;
        Ok(integer(at, turn.index.saturating_add(offset)))
    }
}

impl Unresolved {
    pub(super) fn at(position: Position, message: String) -> Self {
        Self { message, path: String::new(), position }
    }

    /// Says what the path lies below.
    pub(super) fn under(mut self, parent: &str) -> Self {
        self.path.insert_str(0, parent);
        self
    }
}

fn unknown(name: &str) -> String {
    format!("`{}(...)` can not be resolved from the template alone", shown(name))
}

fn node_at(position: Position, value: Value) -> Rc<Node> {
    Rc::new(Node { position, value })
}

fn integer(position: Position, number: i64) -> Rc<Node> {
    node_at(position, Value::Number(number.to_string().into()))
}

fn empty_field(field: &Field) -> Field {
    Field {
        key: field.key.clone(),
        key_position: field.key_position,
        node: Node { position: field.node.position, value: Value::Null },
    }
}
