/**
 * The engine's worker on a GPU that can be lost: on the message `{ type: "lose" }` the device is
 * destroyed, as if the driver had given up. The program itself knows nothing of it.
 */
let device: GPUDevice | undefined;

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  device = await requestDevice.call(this, descriptor);
  return device;
};

addEventListener("message", ({ data }) => {
  if (data.type === "lose") device?.destroy();
});

await import("../../model/engine_worker.ts");
