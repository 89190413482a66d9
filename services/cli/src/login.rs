//! Keeps and forgets profiles: a server, and the token that it is asked with.

use std::io::{self, IsTerminal as _, Read as _};

use secrecy::SecretString;
use signalbox_proto::{to_time, v1::AuthenticateRequest};
use signalbox_telemetry::now;

use crate::{
    args::{
        GlobalArgs,
        login::{LoginArgs, ProfilesArgs, ProfilesCommand},
    },
    client::{Client, Credential, GRPC_URL, SECRET_LEN_MAX, TOKEN_VARIABLE, read_secret},
    error::Error,
    output::{
        Output, note, plain,
        profile::{ProfileView, profiles_table},
    },
    profiles::{DEFAULT_NAME, Profile, Profiles, Store, check_name},
};

/// Asks the server whose token it is, and keeps both.
pub(crate) async fn login(global: &GlobalArgs, args: &LoginArgs, output: &mut Output) -> Result<(), Error> {
    let store = Store::of_user()?;
    let known = store.read()?;
    let name =
        global.profile.clone().or_else(|| known.current.clone()).unwrap_or_else(|| DEFAULT_NAME.into());
    check_name(&name)?;
    let before = known.profiles.get(&name);
    let url = global.grpc_url.clone().or_else(|| before.map(|profile| profile.grpc_url.clone()));
    let url = url.unwrap_or_else(|| GRPC_URL.into());
    let tls = match before {
        Some(before) if before.grpc_url == url => before.tls(&global.tls),
        _ => global.tls.clone(),
    };
    let (origin, token) = token(global, args, &url)?;
    let credential = Credential::present(&origin, &token)?;
    let client = Client::open(&url, &tls, credential, global.rpc_timeout).await?;
    let request = AuthenticateRequest::default();
    let who = client.call("ask whose token this is", client.access().authenticate(request)).await?;
    let profile = Profile {
        subject: who.subject.clone(),
        tenant_id: who.tenant_id.clone(),
        role: who.role().word().into(),
        expires_at: who.expires_at.as_ref().and_then(to_time),
        ..Profile::new(url, &tls, token)
    };
    store.change(|profiles| {
        profiles.current = Some(name.clone());
        profiles.profiles.insert(name.clone(), profile.clone());
        Ok(())
    })?;
    if std::env::var_os(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty()) {
        note(format_args!("warning: {TOKEN_VARIABLE} is set, and goes before the token that is kept here"));
    }
    let view = ProfileView::of(&name, &profile, true);
    if output.is_json() {
        return output.document(&view);
    }
    let (subject, tenant) = (plain(&profile.subject), plain(&profile.tenant_id));
    output.text(format_args!("logged in as {subject} ({}) of {tenant}, profile {name}", profile.role))
}

/// Forgets a profile.
pub(crate) fn logout(global: &GlobalArgs, output: &mut Output) -> Result<(), Error> {
    let name = Store::of_user()?.change(|profiles| {
        let chosen = profiles.choose(global.profile.as_deref())?;
        let name = chosen.map(|(name, _)| name.to_owned()).ok_or(Error::NoProfile)?;
        profiles.profiles.remove(&name);
        profiles.current.take_if(|current| *current == name);
        Ok(name)
    })?;
    if output.is_json() {
        return output.document(&serde_json::json!({ "forgotten": name }));
    }
    output.text(format_args!("forgot the profile {name}; its token holds until it ends or is revoked"))
}

/// Lists the profiles, or chooses the one that counts.
pub(crate) fn profiles(args: ProfilesArgs, output: &mut Output) -> Result<(), Error> {
    let store = Store::of_user()?;
    match args.what {
        None => list(&store, &store.read()?, output),
        Some(ProfilesCommand::Use { name }) => {
            store.change(|profiles| {
                profiles.choose(Some(&name))?;
                profiles.current = Some(name.clone());
                Ok(())
            })?;
            if output.is_json() {
                return output.document(&serde_json::json!({ "current": name }));
            }
            output.text(format_args!("the profile {name} counts from now on"))
        }
    }
}

fn list(store: &Store, known: &Profiles, output: &mut Output) -> Result<(), Error> {
    let views: Vec<_> = known
        .profiles
        .iter()
        .map(|(name, profile)| ProfileView::of(name, profile, known.current.as_ref() == Some(name)))
        .collect();
    if output.is_json() {
        return output.document(&serde_json::json!({ "profiles": views }));
    }
    if views.is_empty() {
        note(format_args!("no profiles in {}; `signalbox login` makes one", store.path().display()));
        return Ok(());
    }
    output.table(profiles_table(&views, now()))
}

/// The token, and where it comes from.
fn token(global: &GlobalArgs, args: &LoginArgs, url: &str) -> Result<(String, SecretString), Error> {
    match (&global.token_file, args.token_stdin) {
        (Some(_), true) => Err(Error::Input {
            field: "--token-stdin".into(),
            expected: "it or --token-file".into(),
            got: "both".into(),
        }),
        (Some(path), false) => Ok((path.display().to_string(), read_secret(path)?)),
        (None, true) => {
            let mut text = String::new();
            let read = io::stdin().take(SECRET_LEN_MAX as u64 + 2).read_to_string(&mut text);
            read.map_err(|source| Error::Read { path: "standard input".into(), source })?;
            Ok(("standard input".into(), text.into()))
        }
        (None, false) if io::stdin().is_terminal() => {
            match rpassword::prompt_password(format!("Token for {}: ", plain(url))) {
                Ok(token) => Ok(("what was typed".into(), token.into())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(Error::Interrupted),
                Err(source) => Err(Error::Read { path: "the terminal".into(), source }),
            }
        }
        (None, false) => Err(Error::Input {
            field: "the token".into(),
            expected: "--token-file PATH, or --token-stdin, where there is no terminal to type it".into(),
            got: "neither".into(),
        }),
    }
}
