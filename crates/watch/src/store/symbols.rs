//! Texts that many series share, each held once for as long as a series has it.

use std::collections::HashMap;
use std::sync::Arc;

/// Stands for a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Symbol(u32);

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    texts: Vec<(Arc<str>, u32)>,
    known: HashMap<Arc<str>, Symbol>,
    free: Vec<Symbol>,
}

impl Symbols {
    /// The text's symbol, if a series has it.
    pub(super) fn find(&self, text: &str) -> Option<Symbol> {
        self.known.get(text).copied()
    }

    /// The text's symbol, for one more series.
    pub(super) fn take(&mut self, text: &str) -> Symbol {
        if let Some(symbol) = self.known.get(text) {
            self.texts[symbol.0 as usize].1 += 1;
            return *symbol;
        }
        let text: Arc<str> = text.into();
        let symbol = if let Some(symbol) = self.free.pop() {
            self.texts[symbol.0 as usize] = (Arc::clone(&text), 1);
            symbol
        } else {
            let symbol = Symbol(u32::try_from(self.texts.len()).expect("series and their labels are limited"));
            self.texts.push((Arc::clone(&text), 1));
            symbol
        };
        self.known.insert(text, symbol);
        symbol
    }

    /// One series less has it.
    pub(super) fn give_back(&mut self, symbol: Symbol) {
        let (text, users) = &mut self.texts[symbol.0 as usize];
        *users -= 1;
        if *users == 0 {
            self.known.remove(text);
            *text = "".into();
            self.free.push(symbol);
        }
    }

    pub(super) fn text(&self, symbol: Symbol) -> &str {
        &self.texts[symbol.0 as usize].0
    }

    pub(super) fn shared(&self, symbol: Symbol) -> Arc<str> {
        Arc::clone(&self.texts[symbol.0 as usize].0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}
