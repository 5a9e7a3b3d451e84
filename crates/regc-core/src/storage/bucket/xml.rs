//! Answers in XML. An answer counts only if it is whole, from its root element to the end of that.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::attributes::{AttrError, Attribute};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;

/// An element, with the text in it and the elements below.
#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    /// Its attributes, by name.
    attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    pub(super) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Returns the element of this name that is directly in it, if there is one. Several are an error.
    pub(super) fn only(&self, name: &str) -> Result<Option<&Element>, String> {
        let mut all = self.children.iter().filter(|child| child.name == name);
        match (all.next(), all.next()) {
            (_, Some(_)) => Err(format!("it has several elements {name}")),
            (only, None) => Ok(only),
        }
    }

    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// Returns the elements of this name that are directly in it.
    pub(super) fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn begin(start: &BytesStart<'_>) -> Result<Self, String> {
        let name = |name: QName<'_>| String::from_utf8_lossy(name.local_name().as_ref()).into_owned();
        let attribute = |attribute: Result<Attribute<'_>, AttrError>| {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let value = String::from_utf8_lossy(&attribute.value);
            let value = unescape(&value).map_err(|error| error.to_string())?.into_owned();
            Ok((name(attribute.key), value))
        };
        let attributes = start.attributes().map(attribute).collect::<Result<_, String>>()?;
        Ok(Self { name: name(start.name()), attributes, ..Self::default() })
    }
}

/// How many elements may be in one another.
const MAX_DEPTH: usize = 16;

/// Reads an answer whose root element has this name. Fails with what is wrong.
pub(super) fn read(text: &[u8], root: &str) -> Result<Element, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8")?;
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut open: Vec<Element> = Vec::new();
    let mut whole: Option<Element> = None;
    loop {
        let close = match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                if whole.is_some() || open.len() == MAX_DEPTH {
                    return Err("it has more than one root element, or elements too deep in one another".to_owned());
                }
                open.push(Element::begin(&start)?);
                false
            }
            Event::Empty(empty) => {
                open.push(Element::begin(&empty)?);
                true
            }
            Event::End(_) => true,
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text += &text.decode().map_err(|error| error.to_string())?;
                }
                false
            }
            Event::GeneralRef(reference) => {
                if let Some(element) = open.last_mut() {
                    let name = reference.decode().map_err(|error| error.to_string())?;
                    element.text += &unescape(&format!("&{name};")).map_err(|error| error.to_string())?;
                }
                false
            }
            Event::CData(data) => {
                if let Some(element) = open.last_mut() {
                    element.text += &data.decode().map_err(|error| error.to_string())?;
                }
                false
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => false,
        };
        if close {
            let element = open.pop().ok_or("it closes an element that was not opened")?;
            match open.last_mut() {
                Some(above) => above.children.push(element),
                None => whole = Some(element),
            }
        }
    }
    match whole {
        _ if !open.is_empty() => Err("it ends too early".to_owned()),
        Some(element) if element.name == root => Ok(element),
        Some(element) => Err(format!("its root element is {}, not {root}", element.name)),
        None => Err(format!("it has no element {root}")),
    }
}

/// Decodes a key that is encoded as in a URL.
pub(super) fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits =
                    [bytes.next(), bytes.next()].map(|digit| digit.and_then(|digit| (digit as char).to_digit(16)));
                let [Some(high), Some(low)] = digits else { return Err(format!("the key {text:?} is cut")) };
                decoded.push((high * 16 + low) as u8);
            }
            b'+' => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    Ok(decoded)
}
