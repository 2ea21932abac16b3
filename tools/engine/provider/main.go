// Command pulumi-resource-libvirt is the Pulumi plugin "libvirt": Terraform's libvirt provider behind Pulumi's bridge.
// It offers the resources of the published plugin under the same names, so programs use the same Python package.
package main

import (
	_ "embed"

	"github.com/dmacvicar/terraform-provider-libvirt/libvirt"
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

//go:embed schema.json
var pulumiSchema []byte

//go:embed bridge-metadata.json
var metadata []byte

// The version of the published plugin, and of the Python package, whose place this build takes.
const version = "0.5.4"

// libvirtProvider returns the Terraform provider with one correction: a changed network card replaces the machine.
//
// The provider's own update function only rewrites DHCP host entries. A card that moved to another network would be
// reported as updated while the running machine stays where it was, and so would an added or a removed card.
func libvirtProvider() *schema.Provider {
	p := libvirt.Provider()
	card := p.ResourcesMap["libvirt_domain"].Schema["network_interface"]
	card.ForceNew = true // the number of cards
	for _, name := range []string{
		"network_id", "network_name", "bridge", "vepa", "private", "macvtap", "passthrough", "mac",
	} {
		card.Elem.(*schema.Resource).Schema[name].ForceNew = true
	}
	return p
}

func provider() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:            sdkv2.NewProvider(libvirtProvider()),
		Name:         "libvirt",
		Version:      version,
		MetadataInfo: tfbridge.NewProviderMetadata(metadata),
		Config: map[string]*tfbridge.SchemaInfo{
			"uri": {Default: &tfbridge.DefaultInfo{EnvVars: []string{"LIBVIRT_DEFAULT_URI"}}},
		},
		Resources: map[string]*tfbridge.ResourceInfo{
			"libvirt_cloudinit_disk": {Tok: "libvirt:index/cloudInitDisk:CloudInitDisk"},
			"libvirt_domain":         {Tok: "libvirt:index/domain:Domain"},
			"libvirt_ignition":       {Tok: "libvirt:index/ignition:Ignition"},
			"libvirt_network":        {Tok: "libvirt:index/network:Network"},
			"libvirt_pool":           {Tok: "libvirt:index/pool:Pool"},
			"libvirt_volume":         {Tok: "libvirt:index/volume:Volume"},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("libvirt_", "index", tokens.MakeStandard("libvirt")))
	info.SetAutonaming(255, "-")
	return info
}

func main() {
	tfbridge.Main("libvirt", version, provider(), pulumiSchema)
}
