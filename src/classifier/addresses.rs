//! The addresses of one side, source or destination, cut into classes.
//!
//! In come the address fields of the rules; a service tag or an application
//! security group is one list, however many rules name it. The families are apart: each is a line with classes of its
//! own.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::CompileError;
use super::line::Line;
use super::packed::RowCollector;
use super::sweep::{List, set, sweep};
use crate::nsg::{AddressPrefix, AddressSet, AppliedRules};

/// The lists that the rules name on one side, and who names them.
#[derive(Debug)]
pub(super) struct AddressLists<'a> {
    applied: &'a AppliedRules,
    lists: Vec<(Cow<'a, AddressSet>, Vec<usize>)>,
    numbers: HashMap<*const AddressSet, usize>,
    always: Vec<u64>,
}

impl<'a> AddressLists<'a> {
    /// Makes the lists of no rule; rows have `width` words.
    pub(super) fn new(applied: &'a AppliedRules, width: usize) -> Self {
        Self { applied, lists: Vec::new(), numbers: HashMap::new(), always: vec![0; width] }
    }

    /// Adds the address field behind this bit. A name that nobody knows admits nothing here: for what it may admit
    /// the rule has a second bit.
    pub(super) fn add(&mut self, rule: usize, field: &[AddressPrefix]) {
        if field.contains(&AddressPrefix::Any) {
            set(&mut self.always, rule);
            return;
        }
        let mut networks: Vec<IpNet> = Vec::new();
        for prefix in field {
            match prefix {
                AddressPrefix::Any => {}
                AddressPrefix::Network(network) => networks.push(*network),
                AddressPrefix::ServiceTag(_) | AddressPrefix::ApplicationSecurityGroup(_) => {
                    if let Some(named) = self.applied.resolve(prefix) {
                        self.add_named(rule, named);
                    }
                }
            }
        }
        if !networks.is_empty() {
            self.lists.push((Cow::Owned(networks.into_iter().collect()), vec![rule]));
        }
    }

    fn add_named(&mut self, rule: usize, named: &'a Arc<AddressSet>) {
        let lists = &mut self.lists;
        let number = *self.numbers.entry(Arc::as_ptr(named)).or_insert_with(|| {
            lists.push((Cow::Borrowed(named), Vec::new()));
            lists.len() - 1
        });
        if let Some((_, rules)) = lists.get_mut(number) {
            rules.push(rule);
        }
    }

    /// Cuts the IPv4 addresses into runs.
    pub(super) fn ipv4(&self, rows: RowCollector<'_>) -> Result<Line<u32>, CompileError> {
        let lists = self.lists.iter();
        let lists: Vec<List<'_, u32>> =
            lists.map(|(set, rules)| List { ranges: set.v4_ranges(), rules }).collect();
        sweep(&lists, &self.always, u32::MAX, rows)
    }

    /// Cuts the IPv6 addresses into runs.
    pub(super) fn ipv6(&self, rows: RowCollector<'_>) -> Result<Line<u128>, CompileError> {
        let lists = self.lists.iter();
        let lists: Vec<List<'_, u128>> =
            lists.map(|(set, rules)| List { ranges: set.v6_ranges(), rules }).collect();
        sweep(&lists, &self.always, u128::MAX, rows)
    }
}
