// A form for a task's parameters, made from their JSON schema. The one that the question's text stands for is not in it.

import { fill, h } from "./dom.js";
import { currentLanguage, t } from "./texts.js";

export class Form {
  draw(entry) {
    const before = this.element && this.isFor(entry) ? this.raw() : null;
    this.element = h("details", { class: "params", open: true });
    this.show(entry);
    if (before) for (const [name, value] of Object.entries(before)) this.write(name, value);
    return this.element;
  }

  isFor(entry) {
    return this.entry?.name === entry.name;
  }

  show(entry) {
    this.entry = entry;
    this.fields = new Map();
    const names = entry.name === "chat" ? [] : Object.keys(entry.params).filter((name) => name !== entry.text_param);
    // Numbers and objects without a value of their own are for those who know what they are.
    const isRare = (name) => ["number", "integer", "object"].includes(kindOf(entry.params[name])) && (entry.params[name].default ?? null) === null;
    const [usual, rare] = [names.filter((name) => !isRare(name)), names.filter(isRare)];
    this.more = h("details", { class: "more" }, h("summary", {}, t("more")), h("div", {}, rare.map((name) => this.field(name, entry.params[name]))));
    fill(this.element, h("summary", {}, t("params")), h("div", {}, usual.map((name) => this.field(name, entry.params[name])), rare.length ? this.more : null));
    this.element.open = true;
    this.element.hidden = !names.length;
  }

  field(name, schema) {
    const words = currentLanguage() === "zh" ? (schema.zh ?? schema) : schema;
    const kind = kindOf(schema);
    const id = `param-${name}`;
    let input;
    if (kind === "enum") {
      input = h("select", { id, onchange: () => (this.more.open ||= this.fields.has(input.value)) }, choicesOf(schema).map((value) => h("option", { value, selected: value === schema.default }, choice(value))));
    } else if (kind === "boolean") input = h("input", { id, type: "checkbox", checked: schema.default === true });
    else if (kind === "number" || kind === "integer") input = h("input", { id, type: "number", step: kind === "integer" ? 1 : "any", value: schema.default ?? "" });
    else if (kind === "list" || kind === "object") input = h("textarea", { id, rows: kind === "object" ? 4 : 2, spellcheck: "false", value: "" });
    else input = h("input", { id, type: "text", value: schema.default ?? "" });
    input.setAttribute("aria-describedby", `${id}-help`);
    this.fields.set(name, { input, kind, schema });
    const label = h("span", { class: "name" }, words.title ?? name);
    return h("label", { class: `param ${kind}`, for: id }, kind === "boolean" ? [input, label] : [label, input], h("small", { id: `${id}-help` }, words.description));
  }

  fold() {
    this.element.open = false;
  }

  // What the person has given; a sentence if something of it cannot be read.
  values() {
    const values = {};
    for (const [name, { input, kind, schema }] of this.fields) {
      const text = input.value.trim();
      if (kind === "boolean") values[name] = input.checked;
      else if (text === "") continue;
      else if (kind === "number" || kind === "integer") values[name] = Number(text);
      else if (kind === "list") values[name] = text.split("\n").map((line) => line.trim()).filter(Boolean);
      else if (kind === "object") {
        try {
          values[name] = JSON.parse(text);
        } catch {
          return t("no_json", { name: schema.title ?? name });
        }
      } else values[name] = text;
    }
    return values;
  }

  raw() {
    return Object.fromEntries([...this.fields].map(([name, { input, kind }]) => [name, kind === "boolean" ? input.checked : input.value]));
  }

  set(params) {
    for (const [name, value] of Object.entries(params)) this.write(name, value);
  }

  write(name, value) {
    const field = this.fields.get(name) ?? this.fields.get(name.replace(/_$/, ""));
    if (!field || value === null) return;
    if (field.kind === "boolean") field.input.checked = value;
    else if (field.kind === "list" && Array.isArray(value)) field.input.value = value.join("\n");
    else field.input.value = typeof value === "object" ? JSON.stringify(value, null, 2) : value;
  }
}

// The variant of a schema that is not null.
const core = (schema) => schema.anyOf?.find((variant) => variant.type !== "null") ?? schema;
const choicesOf = (schema) => core(schema).enum;

function kindOf(schema) {
  const variant = core(schema);
  if (variant.enum) return "enum";
  return { boolean: "boolean", number: "number", integer: "integer", array: "list", object: "object" }[variant.type] ?? "string";
}

// Parameters that are not the usual ones, in words, for a question that was asked.
export function describeParams(entry, params) {
  return Object.entries(params ?? {})
    .filter(([name, value]) => {
      const schema = entry.params[name] ?? entry.params[name.replace(/_$/, "")];
      return schema && name !== entry.text_param && value !== null && value !== "" && value !== false && value !== schema.default && JSON.stringify(value) !== "[]";
    })
    .map(([name, value]) => {
      const schema = entry.params[name] ?? entry.params[name.replace(/_$/, "")];
      const title = (currentLanguage() === "zh" ? schema.zh?.title : schema.title) ?? name;
      if (value === true) return title;
      return kindOf(schema) === "enum" ? choice(value) : `${title}: ${typeof value === "object" ? JSON.stringify(value) : value}`;
    });
}

const choice = (value) => t(`choice_${value}`);
