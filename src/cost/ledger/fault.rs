use std::{error::Error, fmt, sync::Arc};

/// A durable ledger cannot read or write its store.
#[derive(Clone, Debug)]
pub struct StoreError {
    doing: &'static str,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

#[cfg(any(feature = "ledger-redb", feature = "ledger-postgres"))]
impl StoreError {
    pub(super) fn new(
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            doing,
            source: Some(Arc::from(source.into())),
        }
    }

    pub(super) const fn plain(doing: &'static str) -> Self {
        Self {
            doing,
            source: None,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed", self.doing)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source: &(dyn Error + 'static) = self.source.as_deref()?;
        Some(source)
    }
}
