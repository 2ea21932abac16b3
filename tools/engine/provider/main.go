// Command pulumi-resource-libvirt is the Pulumi plugin "libvirt": Terraform's libvirt provider behind Pulumi's bridge.
// It offers the resources of the published plugin under the same names, so programs use the same Python package.
package main

import (
	_ "embed"

	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

//go:embed schema.json
var schema []byte

//go:embed bridge-metadata.json
var metadata []byte

// The version of the published plugin, and of the Python package, whose place this build takes.
const version = "0.5.4"

// networkCardFields makes a change of a card's attachment replace the machine. The provider's update function only
// rewrites DHCP host entries: a card that moves to another network or bridge would be reported as updated while the
// running machine stays where it was.
func networkCardFields() map[string]*tfbridge.SchemaInfo {
	fields := map[string]*tfbridge.SchemaInfo{}
	for _, name := range []string{
		"network_id", "network_name", "bridge", "vepa", "private", "macvtap", "passthrough", "mac",
	} {
		fields[name] = &tfbridge.SchemaInfo{ForceNew: tfbridge.True()}
	}
	return fields
}

func provider() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:            sdkv2.NewProvider(libvirt.Provider()),
		Name:         "libvirt",
		Version:      version,
		MetadataInfo: tfbridge.NewProviderMetadata(metadata),
		Config: map[string]*tfbridge.SchemaInfo{
			"uri": {Default: &tfbridge.DefaultInfo{EnvVars: []string{"LIBVIRT_DEFAULT_URI"}}},
		},
		Resources: map[string]*tfbridge.ResourceInfo{
			"libvirt_cloudinit_disk": {Tok: "libvirt:index/cloudInitDisk:CloudInitDisk"},
			"libvirt_domain": {
				Tok: "libvirt:index/domain:Domain",
				Fields: map[string]*tfbridge.SchemaInfo{
					"network_interface": {Elem: &tfbridge.SchemaInfo{Fields: networkCardFields()}},
				},
			},
			"libvirt_ignition": {Tok: "libvirt:index/ignition:Ignition"},
			"libvirt_network":  {Tok: "libvirt:index/network:Network"},
			"libvirt_pool":     {Tok: "libvirt:index/pool:Pool"},
			"libvirt_volume":   {Tok: "libvirt:index/volume:Volume"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("libvirt_", "index", tokens.MakeStandard("libvirt")))
	info.SetAutonaming(255, "-")
	return info
}

func main() {
	tfbridge.Main("libvirt", version, provider(), schema)
}
