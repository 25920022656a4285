use http::{Uri, uri::InvalidUri};

use super::{Api, Azure};
use crate::provider::path::segment;

pub(super) fn uri(azure: &Azure, deployment: &str) -> Result<Uri, InvalidUri> {
    let mut text = String::from(&*azure.base);
    match azure.api {
        Api::V1 => text.push_str("/openai/v1/chat/completions"),
        Api::Deployments => {
            text.push_str("/openai/deployments/");
            segment(deployment, &mut text);
            text.push_str("/chat/completions");
        }
    }
    if let Some(version) = &azure.version {
        text.push_str("?api-version=");
        segment(version, &mut text);
    }
    text.parse()
}
