//! Lists: which columns, in which order, which page (HT-010 to HT-013).

use std::{borrow::Cow, cmp::Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::{Map, Value, json};

use super::{
    Failure, Json,
    history::{History, Look},
};
use crate::pattern::Pattern;

/// Things on a page when nothing else is said, and at most.
const PAGE_SIZE: usize = 100;
const PAGE_SIZE_MAX: usize = 500;

/// The query behind a path: what comes back, and how.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes());
        Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    /// The value of a key; empty where it has none.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// Whether a key says `true`.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    /// Answers with a list of things.
    ///
    /// # Errors
    /// [`Failure::Invalid`] for a page that cannot be (HT-011), [`Failure::BadRequest`] for a name
    /// that is no pattern.
    pub(super) fn list(&self, mut items: Vec<Value>) -> Result<Json, Failure> {
        let total_count = items.len();
        let page = self.page()?;
        if page.is_some() {
            self.filter(&mut items, |item| {
                Cow::Borrowed(item["name"].as_str().unwrap_or_default())
            })?;
        }
        self.sort(&mut items, |item| item);
        let paging = page.map(|page| page.cut(&mut items, total_count)).transpose()?;
        Ok(self.answer(items, paging))
    }

    /// Answers with a list of things that have a past. Only those on the page are described with
    /// their samples; and only they are described at all, where names say which those are.
    ///
    /// # Errors
    /// Those of [`Self::list`].
    pub(super) fn list_with_past<T>(
        &self,
        history: &History,
        mut things: Vec<T>,
        name: impl Fn(&T) -> Cow<'_, str>,
        describe: impl Fn(&T, &Look<'_>) -> Option<Value>,
    ) -> Result<Json, Failure> {
        let total_count = things.len();
        let page = self.page()?;
        if page.is_some() {
            self.filter(&mut things, &name)?;
        }
        let look = history.look(self);
        if self.column().is_some_and(|column| column != "name") {
            let brief = look.shallow();
            let described = things.into_iter().filter_map(|thing| {
                let item = describe(&thing, &brief)?;
                Some((thing, item))
            });
            let mut rows: Vec<_> = described.collect();
            self.sort(&mut rows, |(_, item)| item);
            let paging = page.map(|page| page.cut(&mut rows, total_count)).transpose()?;
            let look = look.for_each_of(rows.len());
            let in_full = |(thing, item): (T, Value)| {
                if look.is_deep() { describe(&thing, &look).unwrap_or(item) } else { item }
            };
            return Ok(self.answer(rows.into_iter().map(in_full).collect(), paging));
        }
        if self.column().is_some() {
            things.sort_by(|one, other| name(one).cmp(&name(other)));
        }
        if self.is_true("sort_reverse") {
            things.reverse();
        }
        let paging = page.map(|page| page.cut(&mut things, total_count)).transpose()?;
        let look = look.for_each_of(things.len());
        let items = things.iter().filter_map(|thing| describe(thing, &look)).collect();
        Ok(self.answer(items, paging))
    }

    /// What is left of the items, with what is said about their page.
    fn answer(&self, mut items: Vec<Value>, paging: Option<Paging>) -> Json {
        self.restrict(&mut items);
        let Some(paging) = paging else { return Json(Value::Array(items)) };
        Json(json!({
            "total_count": paging.total_count,
            "item_count": items.len(),
            "filtered_count": paging.filtered_count,
            "page": paging.page.number,
            "page_size": paging.page.size,
            "page_count": paging.page_count,
            "items": items,
        }))
    }

    /// Answers with one thing.
    pub(super) fn item(&self, item: Value) -> Json {
        let mut items = [item];
        self.restrict(&mut items);
        let [item] = items;
        Json(item)
    }

    /// The page that is wanted; none if the list is wanted whole.
    fn page(&self) -> Result<Option<Page>, Failure> {
        let number = |key| self.get(key).map(|text| text.parse::<usize>().ok());
        // One alone means the other, too.
        let (page, size) = match (number("page"), number("page_size")) {
            (None, None) => return Ok(None),
            (page, size) => (page.unwrap_or(Some(1)), size.unwrap_or(Some(PAGE_SIZE))),
        };
        if let (Some(number @ 1..), Some(size @ 1..=PAGE_SIZE_MAX)) = (page, size) {
            return Ok(Some(Page { number, size }));
        }
        let said = |key| self.get(key).unwrap_or("undefined");
        let (page, size) = (said("page"), said("page_size"));
        let reason = format!("Invalid pagination parameters: page number {page}, page size {size}");
        Err(Failure::Invalid { error: "invalid_pagination_parameters", reason })
    }

    /// Leaves those whose name has the text in it, or matches the pattern (HT-012).
    fn filter<T>(
        &self,
        items: &mut Vec<T>,
        name: impl Fn(&T) -> Cow<'_, str>,
    ) -> Result<(), Failure> {
        let Some(wanted) = self.get("name").filter(|name| !name.is_empty()) else { return Ok(()) };
        if self.is_true("use_regex") {
            let pattern = Pattern::new(wanted)
                .map_err(|error| Failure::bad_request(format!("invalid regex: {error}")))?;
            items.retain(|item| pattern.matches(&name(item)));
        } else {
            let wanted = wanted.to_lowercase();
            items.retain(|item| name(item).to_lowercase().contains(&wanted));
        }
        Ok(())
    }

    /// The column to sort by.
    fn column(&self) -> Option<&str> {
        self.get("sort").filter(|column| !column.is_empty())
    }

    fn sort<T>(&self, rows: &mut [T], item: impl Fn(&T) -> &Value) {
        if let Some(column) = self.column() {
            rows.sort_by(|one, other| compare(at(item(one), column), at(item(other), column)));
        }
        if self.is_true("sort_reverse") {
            rows.reverse();
        }
    }

    /// Leaves the columns that are wanted, `a` or `a.b`.
    fn restrict(&self, items: &mut [Value]) {
        let Some(columns) = self.get("columns") else { return };
        let columns: Vec<&str> = columns.split(',').filter(|column| !column.is_empty()).collect();
        for item in items {
            let mut kept = Map::new();
            for column in &columns {
                if let Some(value) = at(item, column) {
                    put(&mut kept, column, value.clone());
                }
            }
            *item = Value::Object(kept);
        }
    }
}

/// A page of a list.
#[derive(Clone, Copy, Debug)]
struct Page {
    /// Which one, from 1.
    number: usize,
    size: usize,
}

/// A page, and what it is a page of.
#[derive(Debug)]
struct Paging {
    page: Page,
    page_count: usize,
    total_count: usize,
    filtered_count: usize,
}

impl Page {
    /// Leaves what is on the page.
    fn cut<T>(self, items: &mut Vec<T>, total_count: usize) -> Result<Paging, Failure> {
        let Self { number, size } = self;
        let filtered_count = items.len();
        let page_count = filtered_count.div_ceil(size).max(1);
        if number > page_count {
            let reason = format!(
                "Page out of range, page: {number} page size: {size}, len: {filtered_count}"
            );
            return Err(Failure::Invalid { error: "page_out_of_range", reason });
        }
        items.truncate(number * size);
        items.drain(..(number - 1) * size);
        Ok(Paging { page: self, page_count, total_count, filtered_count })
    }
}

/// The value in a column, `a` or `a.b`.
fn at<'a>(item: &'a Value, column: &str) -> Option<&'a Value> {
    column.split('.').try_fold(item, |value, key| value.get(key))
}

fn put(object: &mut Map<String, Value>, column: &str, value: Value) {
    match column.split_once('.') {
        None => {
            object.insert(column.to_owned(), value);
        }
        Some((key, rest)) => {
            let inner = object.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// The order of values in a column: nothing first, then numbers, then texts.
fn compare(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        None | Some(Value::Null) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(_) => 4,
    };
    match (one, other) {
        (Some(Value::Number(one)), Some(Value::Number(other))) => {
            let (one, other) = (one.as_f64(), other.as_f64());
            one.partial_cmp(&other).unwrap_or(Ordering::Equal)
        }
        (Some(Value::String(one)), Some(Value::String(other))) => one.cmp(other),
        (Some(Value::Bool(one)), Some(Value::Bool(other))) => one.cmp(other),
        _ => rank(one).cmp(&rank(other)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn items() -> Vec<Value> {
        let names = ["b", "A1", "c", "a2"];
        names.iter().enumerate().map(|(n, name)| json!({"name": name, "x": {"n": n}})).collect()
    }

    fn list(query: &str) -> Result<Value, Failure> {
        Query::parse(query).list(items()).map(|Json(value)| value)
    }

    fn names(list: &Value) -> Vec<&str> {
        let items = list.get("items").unwrap_or(list);
        items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }

    // HT-010, HT-013
    #[test]
    fn a_list_is_bare_sorted_and_restricted_as_asked() {
        assert_eq!(names(&list("").unwrap()), ["b", "A1", "c", "a2"]);
        assert_eq!(names(&list("sort=name").unwrap()), ["A1", "a2", "b", "c"]);
        assert_eq!(names(&list("sort=x.n&sort_reverse=true").unwrap()), ["a2", "c", "A1", "b"]);
        assert_eq!(list("columns=x.n").unwrap()[0], json!({"x": {"n": 0}}));
        assert_eq!(list("columns=name,none").unwrap()[1], json!({"name": "A1"}));
    }

    /// What is answered to a query for a thousand things named by their numbers, and how often they
    /// were described for it: with rates alone, and with samples.
    fn with_past(query: &str) -> (Value, [usize; 2]) {
        let history = History::default();
        let counts = [Cell::new(0), Cell::new(0)];
        let describe = |n: &usize, look: &Look<'_>| {
            let count = &counts[usize::from(look.is_deep())];
            count.set(count.get() + 1);
            Some(json!({"name": n.to_string(), "size": 1000 - n, "is_deep": look.is_deep()}))
        };
        let things: Vec<usize> = (0..1000).collect();
        let query = Query::parse(query);
        let name = |n: &usize| Cow::Owned(n.to_string());
        let listed = query.list_with_past(&history, things, |n| name(n), describe);
        (listed.unwrap().0, counts.map(|count| count.get()))
    }

    // HT-010, HT-015
    #[test]
    fn only_what_is_on_the_page_is_described_with_its_past() {
        let past = "lengths_age=60&lengths_incr=5";
        for (query, described, first, is_deep) in [
            ("page=2&page_size=3", [3, 0], "3", false),
            (&*format!("page=2&page_size=3&{past}"), [0, 3], "3", true),
            (&format!("page=2&page_size=3&sort=name&name=99&{past}"), [0, 3], "499", true),
            (&format!("page=2&page_size=3&sort=size&{past}"), [1000, 3], "996", true),
            (
                &format!("page=1&page_size=3&sort=size&sort_reverse=true&{past}"),
                [1000, 3],
                "0",
                true,
            ),
            (&format!("page=1&page_size=500&{past}"), [500, 0], "0", false),
            (past, [1000, 0], "0", false),
            ("sort=size", [1000, 0], "999", false),
            ("sort=name&sort_reverse=true", [1000, 0], "999", false),
        ] {
            let (list, counts) = with_past(query);
            assert_eq!(counts, described, "{query}");
            let item = list.get("items").unwrap_or(&list)[0].clone();
            assert_eq!(
                (&item["name"], &item["is_deep"]),
                (&json!(first), &json!(is_deep)),
                "{query}"
            );
            assert!(list.is_array() || list["total_count"] == 1000, "{query}");
        }
    }

    // HT-010, HT-012
    #[test]
    fn a_page_says_how_many_there_are_and_filters() {
        let page = list("page=2&page_size=3").unwrap();
        assert_eq!(names(&page), ["a2"]);
        assert_eq!(page["page_count"], 2);
        assert_eq!((&page["total_count"], &page["item_count"]), (&json!(4), &json!(1)));
        let page = list("page=1&name=a").unwrap();
        assert_eq!((names(&page), &page["filtered_count"]), (vec!["A1", "a2"], &json!(2)));
        let page = list("page=1&name=%5Ea&use_regex=true").unwrap();
        assert_eq!(names(&page), ["a2"]);
        // Without a page there is no filter.
        assert_eq!(names(&list("name=a").unwrap()).len(), 4);
    }

    // HT-011
    #[test]
    fn pages_that_cannot_be_are_refused_in_rabbitmqs_words() {
        let refused = |query| match list(query) {
            Err(Failure::Invalid { error, reason }) => format!("{error}: {reason}"),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refused("page=0"),
            "invalid_pagination_parameters: Invalid pagination parameters: page number 0, page \
             size undefined"
        );
        assert!(refused("page=1&page_size=501").starts_with("invalid_pagination_parameters"));
        assert_eq!(
            refused("page=99"),
            "page_out_of_range: Page out of range, page: 99 page size: 100, len: 4"
        );
    }
}
