// A picture from the camera. The stream ends when the window closes, whatever was done in it.

import { h, iconButton } from "./dom.js";
import { t } from "./texts.js";

export async function takePicture(taken, failed) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
  } catch {
    return failed(new Error(t("no_camera")));
  }
  const video = h("video", { autoplay: true, playsinline: true, "aria-label": t("webcam") });
  video.muted = true;
  video.srcObject = stream;
  const dialog = h("dialog", { class: "webcam" });
  const shoot = h("button", { type: "button", class: "primary", onclick: () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      taken(new File([blob], `webcam-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}.jpg`, { type: "image/jpeg" }));
      dialog.close();
    }, "image/jpeg", 0.92);
  } }, t("shoot"));
  dialog.append(h("header", {}, h("h2", {}, t("webcam")), iconButton("close", t("close"), () => dialog.close())), video, shoot);
  dialog.addEventListener("close", () => {
    for (const track of stream.getTracks()) track.stop();
    dialog.remove();
  });
  document.querySelector("#app").append(dialog);
  dialog.showModal();
  shoot.focus();
}
