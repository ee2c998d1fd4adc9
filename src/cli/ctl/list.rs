//! Lists: which columns were chosen, and what stands in them.

use super::{
    call::Call,
    failure::{Failure, code},
    table::Column,
    verb::{Field, Listing},
};

/// Writes a list.
pub(super) fn run(call: &mut Call, listing: &Listing) -> Result<(), Failure> {
    let fields = fields(call, listing)?;
    call.banner((listing.banner)(call));
    let objects = (listing.rows)(call)?;
    let row = |object| fields.iter().map(|field| field.value(object)).collect();
    let rows: Vec<_> = objects.iter().map(row).collect();
    let columns: Vec<Column> = fields.iter().map(|field| field.column).collect();
    call.rows(&columns, &rows);
    Ok(())
}

/// The chosen columns. They may be separated by commas, too.
fn fields(call: &Call, listing: &Listing) -> Result<Vec<Field>, Failure> {
    let typed = if listing.is_choosable { call.arguments.as_slice() } else { &[] };
    let typed = typed.iter().flat_map(|word| word.split(','));
    let typed: Vec<_> = typed.map(str::trim).filter(|name| !name.is_empty()).collect();
    let names = if typed.is_empty() { listing.defaults.to_vec() } else { typed };
    if names.is_empty() {
        return Ok(listing.fields.to_vec());
    }
    let find = |name: &str| listing.fields.iter().find(|field| field.column.name == name);
    let unknown: Vec<_> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    if !unknown.is_empty() {
        let problem = format!("Info key(s) {} are not supported", unknown.join(","));
        return Err(call.misused(code::USAGE, &problem));
    }
    Ok(names.into_iter().filter_map(find).copied().collect())
}
