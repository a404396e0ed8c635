/**
 * The engine's worker on a GPU that can be lost. The program itself knows nothing of it.
 *
 * On the message `{ type: "lose" }` the device is destroyed, as if the driver had given up; if there
 * is none yet, as soon as there is. On `{ type: "err" }` the GPU reports an error, and goes on.
 */
import "../../model/engine_worker.ts";

let device: GPUDevice | undefined;
let isLost = false;

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  device = await requestDevice.call(this, descriptor);
  if (isLost) device.destroy();
  return device;
};

addEventListener("message", (event) => {
  const { data } = event as MessageEvent<{ type: string }>;
  if (data.type === "lose") {
    isLost = true;
    device?.destroy();
  } else if (data.type === "err") {
    device!.createBuffer({ size: 2 ** 40, usage: GPUBufferUsage.STORAGE });
  }
});
