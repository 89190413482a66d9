// The access token: where it comes from, where it is kept, and what it says about its bearer.

const KEY = "signalbox.token";

/** Takes a token out of the address bar, where nobody who looks at the screen or the history finds it later. */
export function fromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return token?.trim() || null;
}

/** The token of this tab, gone when the tab is closed. */
export function kept() {
  return sessionStorage.getItem(KEY);
}

export function keep(token) {
  sessionStorage.setItem(KEY, token);
}

export function forget() {
  sessionStorage.removeItem(KEY);
}

/** What a token says, to be shown and not to be believed: only the server can check it. Keys say nothing. */
export function claims(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    const read = JSON.parse(new TextDecoder().decode(bytes));
    return typeof read === "object" && read !== null ? read : {};
  } catch {
    return {};
  }
}
