// What stands at a place of the page, or has the focus. Runs in a world of its own and asks prototypes for everything:
// neither scripts of the page nor elements that are named like a property can answer in their place.
(place) => {
  const get = (type, name, object) => Object.getOwnPropertyDescriptor(type.prototype, name).get.call(object);
  const closest = (element, selector) => Element.prototype.closest.call(element, selector);
  const find = (element, selector) => Element.prototype.querySelector.call(element, selector);
  const attribute = (element, name) => Element.prototype.getAttribute.call(element, name) || "";
  const nameOf = (element) => get(Element, "localName", element);
  const inside = (type, root, x, y) =>
    place ? type.prototype.elementFromPoint.call(root, x, y) : get(type, "activeElement", root);
  const elsewhere = {tag: "iframe", kind: "", text: "", href: "", traits: ["frame"]};

  let x = 0, y = 0;
  if (place) {
    const view = window.visualViewport;  // a phone's page may be zoomed
    x = place[0] / view.scale + view.offsetLeft;
    y = place[1] / view.scale + view.offsetTop;
  }
  let element = inside(Document, document, x, y);
  for (let depth = 0; element; depth++) {
    const shadow = get(Element, "shadowRoot", element);
    let inner = null;
    if (shadow) {
      inner = inside(ShadowRoot, shadow, x, y);
      if (inner === element) break;
    } else if (["iframe", "frame"].includes(nameOf(element))) {
      const type = nameOf(element) === "iframe" ? HTMLIFrameElement : HTMLFrameElement;
      const within = get(type, "contentDocument", element);
      if (!within) return elsewhere;
      const box = Element.prototype.getBoundingClientRect.call(element);
      x -= box.left + element.clientLeft;
      y -= box.top + element.clientTop;
      inner = inside(Document, within, x, y);
    } else if (["object", "embed", "fencedframe", "portal"].includes(nameOf(element))) {
      return elsewhere;
    }
    if (!inner) break;
    if (depth > 32) return elsewhere;
    element = inner;
  }
  if (!element || (!place && nameOf(element) === "body")) return null;

  const selector = "a,button,input,select,textarea,label,summary,option,[role],[contenteditable]";
  let control = closest(element, selector);
  const own = [...get(Node, "childNodes", element)].filter((node) => node.nodeType === 3).map((node) => node.data).join(" ");
  const shown = control ? ("innerText" in control ? get(HTMLElement, "innerText", control) : "") : own;  // not a whole page's
  control = control || element;
  if (nameOf(control) === "label") control = get(HTMLLabelElement, "control", control) || control;
  const tag = nameOf(control), kind = attribute(control, "type").toLowerCase();
  const types = {button: HTMLButtonElement, input: HTMLInputElement};
  const form = closest(control, "form") || (types[tag] ? get(types[tag], "form", control) : null);
  const submits = tag === "button" ? !["button", "reset"].includes(kind) : ["submit", "image"].includes(kind);
  const field = tag === "input" && !submits;
  const card = "[autocomplete^=cc-],[name*=card i],[id*=card i],[name*=iban i],[name*=cvc i],[name*=cvv i]";
  const traits = [];
  if (tag === "input" && kind === "file") traits.push("file");
  if (tag === "input" && kind === "password") traits.push("password");
  if (field && Element.prototype.matches.call(control, card)) traits.push("payment");
  if (form && submits) traits.push("sends");
  if (form && field) traits.push("enter_sends");
  if (form && (submits || field) && find(form, "input[type=password]")) traits.push("form_password");
  if (form && (submits || field) && find(form, card)) traits.push("form_payment");

  const words = attribute(control, "aria-label") || shown.trim() || (submits || kind === "button" ? attribute(control, "value") : "")
    || attribute(control, "placeholder") || attribute(control, "title") || attribute(control, "alt")
    || attribute(control, "name");
  const link = closest(control, "a[href],area[href]");
  return {
    tag, kind,
    text: words.replace(/\s+/g, " ").trim().slice(0, 200),
    href: link ? String(link.href.baseVal ?? link.href).slice(0, 2000) : "",
    traits,
  };
}
