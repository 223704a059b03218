// Where the bytes of a picture are: a file as it came, or a page of a document drawn.

export const sourceOf = (picture, side = 1200) =>
  picture.kind === "document" ? `page/media/${picture.media}/pages/${picture.page}?side=${side}` : `v1/media/${picture.media}`;
