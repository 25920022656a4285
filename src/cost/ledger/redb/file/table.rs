//! The tables by name, and what may go wrong with them.

use redb::TableDefinition;

use crate::cost::StoreError;

pub(super) const ACCOUNTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("accounts");
/// Open holds only.
pub(super) const HOLDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("holds");
pub(super) const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
/// Where each account's entries are, as far as [`INDEXED`] says.
pub(super) const BY_ACCOUNT: TableDefinition<'_, (&str, u64), ()> =
    TableDefinition::new("by_account");
pub(super) const REFERENCES: TableDefinition<'_, (&str, &str), u64> =
    TableDefinition::new("references");
/// Statements of what has been pruned.
pub(super) const ANCHORS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("anchors");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

pub(super) const VERSION: &str = "version";
pub(super) const HEAD: &str = "head";
pub(super) const ANCHOR: &str = "anchor";
/// Absent in files that were made before there was a choice: US dollars.
pub(super) const CURRENCY: &str = "currency";
pub(super) const NEXT_HOLD: &str = "next hold";
/// The last entry that the index by account has. Absent in files that were made when it had all.
pub(super) const INDEXED: &str = "indexed";

pub(super) type Result<T> = std::result::Result<T, StoreError>;

pub(super) fn failed<E: Into<redb::Error>>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::new(doing, error.into())
}

pub(super) fn number(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| damaged())?))
}

pub(super) fn damaged() -> StoreError {
    StoreError::plain("making sense of the ledger's file")
}
